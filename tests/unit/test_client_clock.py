"""The server's clock as a client knows it: what is measured by pings over lines of any delay."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client_events import Send
from server.client_state import CLOCK_SAMPLES, ClientState

LOOPBACK_S = 0.005
EPOCH = 1_795_000_000.0


@dataclass
class Machine:
    """A client on a machine whose monotonic clock began anywhere."""

    core: ClientState
    began: float

    def clock(self, world_s: float) -> float:
        return self.began + world_s

    def ping(self, world_s: float, there_s: float, back_s: float) -> float:
        """One ping that leaves at a time of the world; the time when its answer is there."""
        self.core.submit("ping", {}, self.clock(world_s))
        (sent,) = [json.loads(output.frame) for output in self.core.take() if isinstance(output, Send)]
        said = datetime.fromtimestamp(EPOCH + world_s + there_s, UTC).isoformat()
        self.answer(sent["id"], {"pong": True, "server_time": said}, world_s + there_s + back_s)
        return world_s + there_s + back_s

    def answer(self, request: int, result: dict[str, object], world_s: float) -> None:
        frame = json.dumps({"id": request, "type": "result", "result": result})
        self.core.received(frame, self.clock(world_s))

    def believes_s(self, server_s: float) -> float:
        """The time of the world at which this machine believes the server's clock to say so."""
        sample = self.core.clock_sample
        assert sample is not None
        return server_s - sample.offset_s - self.began


def machine(began: float) -> Machine:
    made = Machine(ClientState({"token": "T"}, jitter=lambda: 0.5, now=began), began)
    made.core.connected(made.clock(0))
    made.answer(1, {"session": "S", "practitioner": {"id": "me"}, "resumed": False, "heartbeat_s": 25}, 0)
    made.core.take()
    return made


delays = st.floats(0, 0.5)


@given(began=st.floats(0, 1e6), pings=st.lists(st.tuples(delays, delays), min_size=1, max_size=CLOCK_SAMPLES))
def test_the_estimate_is_wrong_by_half_the_shortest_round_trip_at_most(
    began: float, pings: list[tuple[float, float]]
) -> None:
    it, world_s = machine(began), 1.0
    for there_s, back_s in pings:
        world_s = it.ping(world_s, there_s, back_s)
    shortest_s = min(there_s + back_s for there_s, back_s in pings)
    error_s = it.believes_s(EPOCH + 100) - 100
    assert abs(error_s) <= shortest_s / 2 + 1e-5  # times are told to the microsecond


def test_twelve_clients_meet_within_twenty_milliseconds_though_most_of_their_pings_met_hiccups() -> None:
    chance = random.Random(12)
    met = []
    for _ in range(12):
        it, world_s = machine(chance.uniform(0, 1e6)), 1.0
        hiccups = [chance.uniform(0, 0.4) for _ in range(4)] + [0.0]
        chance.shuffle(hiccups)
        for hiccup_s in hiccups:
            world_s = it.ping(world_s, chance.uniform(0, LOOPBACK_S), chance.uniform(0, LOOPBACK_S) + hiccup_s)
        met.append(it.believes_s(EPOCH + 60))
    assert max(met) - min(met) < 0.020
    assert met == pytest.approx([60] * 12, abs=LOOPBACK_S)
