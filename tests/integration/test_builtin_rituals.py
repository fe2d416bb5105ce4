"""The built-in rituals in the real sandbox: what each does, to the number; what they ask for; and that any state survives."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.practitioner.archetypal_state import ENTRIES_MAX, ArchetypalState, check, parse
from actors.practitioner.transformation import intensity, suggestions
from actors.ritual import commands
from actors.ritual.abi_values import Chance
from actors.ritual.builtin.builtin import BUILTINS, ritual_id, source, upload_command
from actors.ritual.module import inspect
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import NAMESPACE, CheckRequest, RunOutcome, RunRequest, outcome_codec

RUN = "7d3f2c1e-0000-5000-8000-000000000001"
SUGGESTED = {"shadow_integration", "energy_integration", "transformation_completion"}
CODEX = {"shadow_integration", "energy_attunement", "void_contemplation"}
SYMBOLS_FULL = "symbols: more than 256 entries; 256 are allowed"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = Sandbox()
    for builtin in BUILTINS.values():
        uploaded = upload_command(builtin)
        box.load(uploaded.module_hash, uploaded.module)
    yield box
    box.close()


HASHES = {name: upload_command(builtin).module_hash for name, builtin in BUILTINS.items()}


def outcome_of(sandbox: Sandbox, name: str, state: ArchetypalState, run: str = RUN, **parameters: Any) -> RunOutcome:
    return sandbox.run(
        RunRequest(
            run=run,
            ritual=ritual_id(BUILTINS[name]),
            module_hash=HASHES[name],
            state=state,
            parameters=json.dumps(parameters).encode(),
        )
    )


def done(sandbox: Sandbox, name: str, state: ArchetypalState, run: str = RUN, **parameters: Any) -> Any:
    """The outcome of a run that completes; its state is valid and nothing was clamped."""
    outcome = outcome_of(sandbox, name, state, run, **parameters)
    assert (outcome.code, outcome.message) == (None, "")
    assert outcome.state is not None
    check(outcome.state)
    assert outcome.clamped == ()
    return outcome


def state(**fields: Any) -> ArchetypalState:
    return parse(fields)


# What is said about them


def test_there_are_the_six_of_the_text() -> None:
    assert set(BUILTINS) == SUGGESTED | {"archetype_invocation", "energy_attunement", "void_contemplation"}


@pytest.mark.parametrize("name", BUILTINS)
def test_an_upload_is_whole_public_and_of_the_abi_that_it_says(name: str) -> None:
    command = upload_command(BUILTINS[name])
    assert commands.codec.decode(commands.encode(command)) == command
    assert command.is_public
    assert command.module_hash == hashlib.sha256(command.module).hexdigest()
    found = inspect(command.module)
    assert (found.abi, found.problems) == (command.abi, ())
    assert (found.abi == "codex") == (name in CODEX)


@pytest.mark.parametrize("name", BUILTINS)
def test_the_documentation_is_in_the_source_and_in_the_catalog(name: str) -> None:
    builtin = BUILTINS[name]
    assert builtin.documentation.startswith(f"{name}: ")
    assert f"ABI: {builtin.abi}" in builtin.documentation
    assert "→" in builtin.documentation  # an example
    assert upload_command(builtin).description == f"{builtin.description}\n\n{builtin.documentation}"


@pytest.mark.parametrize("name", BUILTINS)
def test_the_id_follows_from_the_name_and_the_source(name: str) -> None:
    builtin = BUILTINS[name]
    text = builtin.wat()
    assert ";;@include" not in text
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert ritual_id(builtin) == str(uuid.uuid5(NAMESPACE, f"builtin:{name}:{digest}"))
    assert (source("json.wat") in text) == (builtin.abi == "sangha-1")


def test_what_they_require() -> None:
    required = {name: (b.required_archetypes, dict(b.energy_requirements)) for name, b in BUILTINS.items()}
    four = dict.fromkeys(("fire", "water", "earth", "air"), 0.05)
    assert required == {
        "shadow_integration": (("Light", "Shadow"), {}),
        "archetype_invocation": ((), {}),
        "energy_attunement": ((), four),
        "void_contemplation": (("Self",), {}),
        "energy_integration": ((), {}),
        "transformation_completion": ((), {}),
    }


@pytest.mark.parametrize("name", BUILTINS)
def test_a_check_as_an_upload_does_it_accepts_them(sandbox: Sandbox, name: str) -> None:
    builtin = BUILTINS[name]
    report = sandbox.check(
        CheckRequest(
            module=upload_command(builtin).module,
            required_archetypes=builtin.required_archetypes,
            energy_requirements=builtin.energy_requirements,
        )
    )
    assert report.accepted
    assert report.dry_run is not None
    assert report.dry_run.code is None


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("shadow_integration", "Light and Shadow must both be active"),
        ("energy_attunement", "fire, water, earth and air must all flow"),
        ("void_contemplation", "the Self must be active"),
    ],
)
def test_without_what_it_needs_a_ritual_fails_and_says_why(sandbox: Sandbox, name: str, log: str) -> None:
    outcome = outcome_of(sandbox, name, state(archetypes={"Light": 0.5, "Self": 0.0}, energies={"fire": 1}))
    assert (outcome.code, outcome.state, outcome.log) == ("ritual_failed", None, (log,))


# What each does


def test_shadow_integration_halves_the_distance_of_light_and_shadow(sandbox: Sandbox) -> None:
    before = state(archetypes={"Light": 0.9, "Shadow": 0.1, "Sage": 0.3})
    assert suggestions(before) == ("shadow_integration",)
    outcome = done(sandbox, "shadow_integration", before)
    assert outcome.state.archetypes == pytest.approx({"Light": 0.7, "Shadow": 0.3, "Sage": 0.3})
    assert outcome.state.symbols == ()
    assert outcome.resonance == pytest.approx(0.6)
    assert intensity(before, outcome.state) == pytest.approx((0.2 + 0.2 + 0) / 3)
    assert suggestions(outcome.state) == ()


def test_light_and_shadow_that_meet_are_a_mandala_once(sandbox: Sandbox) -> None:
    before = state(archetypes={"Light": 0.5, "Shadow": 0.6}, symbols=["key"])
    outcome = done(sandbox, "shadow_integration", before)
    assert outcome.state.archetypes == pytest.approx({"Light": 0.525, "Shadow": 0.575})
    assert outcome.state.symbols == ("key", "mandala")
    assert outcome.emerged_symbols == ("mandala",)
    assert outcome.log == ("Light and Shadow have met",)
    assert intensity(before, outcome.state) == pytest.approx(0.025 + 0.3)
    assert done(sandbox, "shadow_integration", outcome.state).emerged_symbols == ()


def test_energy_attunement_brings_each_element_half_of_the_way_to_the_mean(sandbox: Sandbox) -> None:
    before = state(energies={"fire": 0.9, "water": 0.1, "earth": 0.3, "air": 0.3, "aether": 1})
    outcome = done(sandbox, "energy_attunement", before)
    after = {"fire": 0.65, "water": 0.25, "earth": 0.35, "air": 0.35, "aether": 1}
    assert outcome.state.energies == pytest.approx(after)
    assert outcome.resonance == pytest.approx(1 - (0.65 - 0.25))
    assert intensity(before, outcome.state) == pytest.approx((0.25 + 0.15 + 0.05 + 0.05 + 0) / 5)
    assert outcome.emerged_symbols == ()


def test_elements_that_sound_together_are_a_quaternity(sandbox: Sandbox) -> None:
    before = state(energies={"fire": 0.48, "water": 0.32, "earth": 0.4, "air": 0.4})
    outcome = done(sandbox, "energy_attunement", before)
    assert outcome.state.energies == pytest.approx({"fire": 0.44, "water": 0.36, "earth": 0.4, "air": 0.4})
    assert outcome.emerged_symbols == ("quaternity",)


def test_void_contemplation_lets_the_self_grow_by_a_share_that_chance_gives(sandbox: Sandbox) -> None:
    chance = Chance(RUN)
    share, drawn = 0.1 + 0.1 * chance.next(), chance.next()
    before = state(archetypes={"Self": 0.5, "Light": 0.8, "Hero": 0.4})
    outcome = done(sandbox, "void_contemplation", before)
    after = {"Self": 0.5 + 0.5 * share, "Light": 0.8 * (1 - share), "Hero": 0.4}
    assert outcome.state.archetypes == pytest.approx(after)
    assert outcome.emerged_symbols == (("still water", "night sky", "open circle")[int(drawn * 3)],)
    assert outcome.resonance == pytest.approx(5 * share)
    assert 0.1 <= share < 0.2
    assert intensity(before, outcome.state) == pytest.approx((0.5 * share + 0.8 * share) / 3 + 0.3)


def test_each_of_the_three_sights_is_seen_at_times(sandbox: Sandbox) -> None:
    before = state(archetypes={"Self": 0.5})
    runs = [str(uuid.uuid5(NAMESPACE, str(n))) for n in range(60)]
    seen = [done(sandbox, "void_contemplation", before, run).emerged_symbols[0] for run in runs]
    assert {sight: seen.count(sight) >= 10 for sight in seen} == dict.fromkeys(
        ("still water", "night sky", "open circle"), True
    )


def test_archetype_invocation_brings_the_called_one_half_of_the_way(sandbox: Sandbox) -> None:
    before = state(archetypes={"Hero": 0.2, "Sage": 0.4}, symbols=["key"])
    outcome = done(sandbox, "archetype_invocation", before, archetype="Sage")
    assert outcome.state == state(archetypes={"Hero": 0.2, "Sage": 0.7}, symbols=["key"])
    assert outcome.log == ("invoked: Sage",)
    assert intensity(before, outcome.state) == pytest.approx(0.15)


def test_an_archetype_that_was_not_there_comes_with_a_half(sandbox: Sandbox) -> None:
    before = state(archetypes={"Hero": 0.2})
    outcome = done(sandbox, "archetype_invocation", before, other=[{"archetype": "no"}], archetype='Wise "One"\n')
    assert outcome.state.archetypes == {"Hero": 0.2, 'Wise "One"\n': 0.5}
    assert done(sandbox, "archetype_invocation", state()).state.archetypes == {"Self": 0.5}
    assert done(sandbox, "archetype_invocation", state(), archetype=7).state.archetypes == {"Self": 0.5}


def test_no_archetype_is_called_into_a_full_state(sandbox: Sandbox) -> None:
    full = state(archetypes={f"a{n}": 0.5 for n in range(ENTRIES_MAX)})
    outcome = done(sandbox, "archetype_invocation", full, archetype="Sage")
    assert outcome.state == full
    assert outcome.log == ("no room for another archetype: Sage",)
    assert done(sandbox, "archetype_invocation", full, archetype="a7").state.archetypes["a7"] == 0.75


def test_energy_integration_brings_the_total_below_five(sandbox: Sandbox) -> None:
    before = state(energies={"fire": 0.9, "water": 0.9, "a": 0.9, "b": 0.9, "c": 0.9, "d": 0.9}, integrations=["x"])
    assert suggestions(before) == ("energy_integration",)
    outcome = done(sandbox, "energy_integration", before)
    assert outcome.state.energies == dict.fromkeys(before.energies, 0.75)
    assert outcome.state.integrations == ("x", "energy integration")
    assert outcome.integration_required == ("grounding",)
    assert intensity(before, outcome.state) == pytest.approx(0.15 + 0.2)
    assert suggestions(outcome.state) == ()


def test_energy_that_can_be_held_stays(sandbox: Sandbox) -> None:
    before = state(energies={"fire": 1, "water": 0.25}, archetypes={"Self": 1e-9})
    outcome = done(sandbox, "energy_integration", before)
    assert (outcome.state, outcome.log) == (before, ("there is no surplus to gather",))


@pytest.mark.parametrize("level", [1e-5, 1.5e-7, 0.1, 0.30000000000000004, 1.0, 5e-324])
def test_levels_are_read_however_they_are_written(sandbox: Sandbox, level: float) -> None:
    """The total is 9 and what the level adds, so nine ones become a half each."""
    before = state(energies={"small": level} | {f"e{n}": 1 for n in range(9)})
    outcome = done(sandbox, "energy_integration", before)
    assert outcome.state.energies["small"] == pytest.approx(level * 4.5 / (9 + level), abs=6e-7)
    assert outcome.state.energies["e0"] == pytest.approx(4.5 / (9 + level), abs=6e-7)


def test_transformation_completion_ends_the_oldest_until_two_are_open(sandbox: Sandbox) -> None:
    before = state(transformations=["a", "b", "c", "d"], integrations=["x"], archetypes={"Self": 0.5})
    assert suggestions(before) == ("transformation_completion",)
    outcome = done(sandbox, "transformation_completion", before)
    assert outcome.state.transformations == ("c", "d")
    assert outcome.state.integrations == ("x", "a", "b")
    assert outcome.integration_required == ("a", "b")
    assert intensity(before, outcome.state) == pytest.approx(0.4)
    assert suggestions(outcome.state) == ()


@pytest.mark.parametrize(
    ("open_", "noted", "still_open", "then_noted"),
    [
        ([], ["x"], (), ("x",)),
        (["a"], [], (), ("a",)),
        (["a", "b"], [], ("b",), ("a",)),
        (["a", "b", "c"], [], ("b", "c"), ("a",)),
        (["a", "b", "c", "d"], ["a"], ("c", "d"), ("a", "b")),
        (["a", "a", "b", "c"], [], ("b", "c"), ("a",)),
        (['q"\\', "\n", "c", "d"], ["]"], ("c", "d"), ("]", 'q"\\', "\n")),
    ],
)
def test_what_is_completed_is_noted_once(
    sandbox: Sandbox, open_: list[str], noted: list[str], still_open: tuple[str, ...], then_noted: tuple[str, ...]
) -> None:
    outcome = done(sandbox, "transformation_completion", state(transformations=open_, integrations=noted))
    assert (outcome.state.transformations, outcome.state.integrations) == (still_open, then_noted)


def test_what_finds_no_room_among_the_integrations_stays_open(sandbox: Sandbox) -> None:
    noted = [f"i{n}" for n in range(ENTRIES_MAX - 1)]
    outcome = done(sandbox, "transformation_completion", state(transformations=list("abcd"), integrations=noted))
    assert outcome.state.integrations == (*noted, "a")
    assert outcome.state.transformations == ("b", "c", "d")
    assert outcome.log == ("no room for more integrations: some stays open",)


# For any state

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
KNOWN = ("Light", "Shadow", "Self", "fire", "water", "earth", "air", "mandala", "energy integration")
SOME = st.one_of(st.sampled_from(KNOWN), NAMES)
LEVELS = st.floats(0, 1, allow_nan=False)
STATES = st.builds(
    ArchetypalState,
    archetypes=st.dictionaries(SOME, LEVELS, max_size=12),
    energies=st.dictionaries(SOME, LEVELS, max_size=12),
    integrations=st.lists(SOME, max_size=8).map(tuple),
    symbols=st.lists(SOME, max_size=8).map(tuple),
    transformations=st.lists(SOME, max_size=8).map(tuple),
)
REASONS = {
    "shadow_integration": lambda s: min(s.archetypes.get("Light", 0), s.archetypes.get("Shadow", 0)) > 0,
    "energy_attunement": lambda s: min(s.energies.get(name, 0) for name in ("fire", "water", "earth", "air")) > 0,
    "void_contemplation": lambda s: s.archetypes.get("Self", 0) > 0,
}


@pytest.mark.parametrize("name", BUILTINS)
@settings(max_examples=150, deadline=None)
@given(before=STATES, called=SOME)
def test_from_any_valid_state_comes_a_valid_one(
    sandbox: Sandbox, name: str, before: ArchetypalState, called: str
) -> None:
    """It completes wherever what it needs is there; names that a JSON text spells with escapes included."""
    check(before)
    if REASONS.get(name, lambda _: True)(before):
        after = done(sandbox, name, before, archetype=called).state
        assert {n: round(v, 9) for n, v in after.energies.items()}.keys() == before.energies.keys()
        assert set(before.symbols) <= set(after.symbols)
        assert set(before.integrations) <= set(after.integrations)
        if name == "energy_integration":
            assert sum(after.energies.values()) < 5
    else:
        assert outcome_of(sandbox, name, before).code == "ritual_failed"


@pytest.mark.parametrize("name", BUILTINS)
def test_a_state_that_is_full_in_every_field_stays_valid_or_is_left_alone(sandbox: Sandbox, name: str) -> None:
    """100 characters of four bytes each; a symbol more finds no room, and the ritual that wants to add it fails."""
    long = [f"{n:03}" + "🜂" * 97 for n in range(ENTRIES_MAX)]
    spread = {key: 0.25 + 0.75 * n / ENTRIES_MAX for n, key in enumerate(long[:-4])}
    full = state(
        archetypes=spread | {"Light": 1, "Shadow": 0.1, "Self": 0.5, "Sage": 0.5},
        energies=spread | {"fire": 0.9, "water": 0.1, "earth": 0.3, "air": 0.3},
        integrations=long, symbols=long, transformations=long,
    )  # fmt: skip
    outcome = outcome_of(sandbox, name, full, archetype="Sage")
    if name == "void_contemplation":
        assert (outcome.code, outcome.message) == ("ritual_failed", SYMBOLS_FULL)
    else:
        assert outcome.code is None, outcome.message
        assert outcome.state is not None
        check(outcome.state)


IN_ANOTHER_PROCESS = """
import sys
from actors.ritual.builtin.builtin import BUILTINS, upload_command
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import SandboxCommand, codec, outcome_codec
request = codec.decode(sys.stdin.buffer.read())
module = next(u.module for u in map(upload_command, BUILTINS.values()) if u.module_hash == request.module_hash)
sandbox = Sandbox()
sandbox.load(request.module_hash, module)
sys.stdout.buffer.write(outcome_codec.encode(sandbox.run(request)))
"""


@pytest.mark.parametrize("name", BUILTINS)
def test_another_process_gives_the_same_bits(sandbox: Sandbox, name: str) -> None:
    before = state(
        archetypes={"Light": 1 / 3, "Shadow": 0.9, "Self": 0.1}, energies={"fire": 0.7, "water": 1 / 7, "earth": 1, "air": 0.2},
        transformations=["a", "b", "c"],
    )  # fmt: skip
    from actors.ritual.values import encode

    request = RunRequest(run=RUN, ritual=ritual_id(BUILTINS[name]), module_hash=HASHES[name], state=before)
    told = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS], input=encode(request), capture_output=True, check=True, timeout=60
    )
    there = outcome_codec.decode(1, told.stdout)
    assert msgspec.structs.replace(there, duration_us=0) == msgspec.structs.replace(sandbox.run(request), duration_us=0)
