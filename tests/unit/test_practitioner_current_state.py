from __future__ import annotations

from typing import Any

import pytest
from driving import account
from practising import BRIEF, NEW, SELF, Practitioner, json

from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import next_version
from actors.ritual.values import RunOutcome, run_id_of
from actors.runtime.errors import Forbidden

OLD = ArchetypalState(symbols=("sun",))


def transform(type_: Any, parameters: bytes) -> c.TransformState:
    return c.TransformState(transformation_type=type_, parameters=parameters)


def test_before_any_version_the_state_is_empty() -> None:
    assert json(Practitioner().reply(c.GetState(), SELF)) == {
        "archetypal_state": json(ArchetypalState()),
        "state_id": None,
        "state_hash": None,
        "version": 0,
        "under_way": None,
    }


def test_each_change_is_a_version_a_row_and_a_push() -> None:
    who = Practitioner()
    assert json(who.reply(c.PutArchetypalState(state=OLD), SELF)) == json(OLD)
    reply = who.reply(transform("symbol", b'{"symbol":"moon"}'), SELF)
    version = next_version(who.id, next_version(who.id, None, OLD), ArchetypalState(symbols=("sun", "moon")))
    assert who.state.version == version
    assert (reply["version"], reply["state_id"], reply["state_hash"]) == (2, version.id, version.hash)
    assert reply["archetypal_state"]["symbols"] == ("sun", "moon")
    assert (reply["transformation_intensity"], reply["next_rituals_suggested"]) == (0, ())
    first, second = who.table("archetypal_states").values()
    assert (first["origin"], first["session_id"], first["symbols"]) == ("put", None, ("sun",))
    assert (second["origin"], second["prev_hash"]) == ("symbol", first["state_hash"])
    assert [frame.event for _, frame in who.frames] == ["archetypal_state_updated"] * 2
    assert json(who.frames[-1][1].body) == json(who.state.archetypal_state) | {
        "state_id": version.id,
        "state_hash": version.hash,
        "origin": "symbol",
    }
    who.assert_chain()


def test_what_changes_nothing_is_no_version() -> None:
    who = Practitioner()
    assert who.do(c.PutArchetypalState(state=ArchetypalState()), SELF).events == ()
    who.do(c.PutArchetypalState(state=OLD), SELF)
    decision = who.do(transform("symbol", b'{"symbol":"sun"}'), SELF)
    assert decision.events == ()
    assert decision.reply["version"] == 1


def test_the_open_run_is_told_to_its_practitioner_alone() -> None:
    who = Practitioner()
    who.do(c.UpdateProfile(privacy_level="public"), SELF)
    who.run()
    assert who.reply(c.GetState(), SELF)["under_way"] == {
        "session_id": run_id_of("s:1"),
        "ritual_id": BRIEF.id,
        "name": "Descent",
        "group_id": None,
        "space_id": None,
        "started_at": who.now,
    }
    assert who.kind.snapshot(who.state, who.context(SELF))["under_way"]["session_id"] == run_id_of("s:1")
    public = who.reply(c.GetProfile(), account(2))
    assert not public.keys() & {"under_way", "state_id", "state_hash", "version", "oracle_consent", "archetypal_state"}
    with pytest.raises(Forbidden):
        who.do(c.GetState(), account(2))


def from_an_older_journal() -> Practitioner:
    who = Practitioner()
    who._take(e.ArchetypalStateUpdated(state=OLD))
    assert who.state.version is None
    assert who.table("archetypal_states") == {}
    return who


def test_a_state_from_before_versions_becomes_the_first_when_it_is_changed() -> None:
    who = from_an_older_journal()
    frames = len(who.frames)
    who.do(c.PutArchetypalState(state=NEW), SELF)
    first, second = who.table("archetypal_states").values()
    assert (first["origin"], first["symbols"], second["origin"]) == ("baseline", ("sun",), "put")
    assert len(who.frames) == frames + 1  # a baseline is told to nobody
    who.assert_chain()
    who.do(c.PutArchetypalState(state=OLD), SELF)
    assert len(who.table("archetypal_states")) == 3


def test_and_when_a_ritual_is_run_on_it() -> None:
    who = from_an_older_journal()
    who.run()
    (first,) = who.table("archetypal_states")
    assert who.table("ritual_sessions")[run_id_of("s:1")]["pre_state_id"] == first
    who.answer("run-1", RunOutcome(state=NEW))
    who.assert_chain()
    assert who.replayed() == who.state
