"""Every interleaving of sending, answering, cutting and reconnecting, for a few requests, against a model of the server."""

from __future__ import annotations

from collections import Counter

import pytest
from client_world import SCRIPT, Server, World, explore

from server.client_events import OutcomeUnknown


@pytest.mark.parametrize("retried_join_subscribes", [True, False])
@pytest.mark.parametrize(("cuts", "outside", "refusals"), [(3, 0, 0), (2, 1, 0), (2, 0, 1)])
def test_whatever_is_cut_each_request_has_one_outcome_and_each_event_comes_once_in_order(
    retried_join_subscribes: bool, cuts: int, outside: int, refusals: int
) -> None:
    server = Server(retried_join_subscribes, overlap=outside, refusals=refusals)

    def check(world: World) -> None:
        assert sorted(world.outcomes) == sorted(world.handles)
        assert world.server.executed == Counter({"a": 1, "b": 1})
        assert world.seen == world.server.journal
        for handle, body in world.handles.items():
            if body != "join":
                assert world.server.journal[world.outcomes[handle]["offset"] - 1] == body

    states, settled = explore(World(server, list(SCRIPT), cuts, outside), check)
    assert states > 5000
    assert settled > 0


def test_a_session_that_is_forgotten_repeats_nothing_and_says_what_is_unknown() -> None:
    def check(world: World) -> None:
        assert sorted(world.outcomes) == sorted(world.handles)
        assert max(world.server.executed.values(), default=0) <= 1, "done twice"
        assert world.seen == world.server.journal
        for handle, body in world.handles.items():
            if body != "join":
                assert world.outcomes[handle] == OutcomeUnknown.code or world.server.executed[body] == 1

    states, settled = explore(World(Server(True), list(SCRIPT), cuts=1, forgets=2), check)
    assert states > 5000
    assert settled > 0
