from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.oracle import circle_rules, rules, run_rules, state_rules
from actors.oracle.values import Consult, insight_codec
from actors.practitioner.archetypal_state import ArchetypalState

PRE = ArchetypalState(
    archetypes={"Shadow": 0.2, "Light": 0.5, "Hero": 0.6},
    energies={"Fire": 0.9, "Water": 0.3},
    integrations=("inner child",),
    symbols=("moon",),
    transformations=("grief",),
)
POST = ArchetypalState(
    archetypes={"Shadow": 0.35, "Light": 0.5, "Hero": 0.4, "Sage": 0.7},
    energies={"Fire": 0.7, "Water": 0.45},
    integrations=("inner child",),
    symbols=("moon", "serpent"),
)
COLLECTIVE = {
    "transformed": 3,
    "archetypes": {
        "Shadow": {"mean": 0.9, "sd": 0.05, "n": 3},
        "Light": {"mean": 0.2, "sd": 0.4, "n": 3},
        "Hero": {"mean": 0.5, "sd": 0.2, "n": 2},
        "Sage": {"mean": 1.0, "sd": 0.0, "n": 1},
    },
    "energies": {"Fire": {"mean": 0.6, "sd": 0.1, "n": 3}},
    "symbols": {"serpent": 2, "moon": 1},
    "mean_intensity": 0.4,
    "coherence": {"r": None, "unbiased": None, "n": 0},
    "left_out": {"archetypes": 0, "energies": 0, "symbols": 0},
}


def a_run(pre: ArchetypalState = PRE, post: ArchetypalState = POST, intensity: float | None = 0.45) -> Consult:
    return Consult(id="c", ritual_name="shadow_integration", intention="peace", pre=pre, post=post, intensity=intensity)


def has(texts: tuple[str, ...] | str, *words: str) -> bool:
    found = (texts,) if isinstance(texts, str) else texts
    return any(all(word in text for word in words) for text in found)


def test_a_run_names_each_rule_with_its_numbers() -> None:
    insight = rules.answer(a_run())
    assert insight.oracle_model == "rules-v1"
    assert insight.confidence_score is None
    assert insight.tokens == 0
    assert insight.notice is None
    assert has(insight.interpretation, "shadow_integration", "clear-transformation", "0.45", "“peace”")
    assert has(insight.symbolic_analysis, "Shadow grew", "archetype-risen", "0.20 → 0.35", "+0.15")
    assert has(insight.symbolic_analysis, "Hero stepped back", "0.60 → 0.40", "-0.20")
    assert has(insight.symbolic_analysis, "Sage is newly awake", "0.70")
    assert has(insight.symbolic_analysis, "Fire energy ebbed", "0.90 → 0.70")
    assert has(insight.symbolic_analysis, "Water energy rose", "+0.15")
    assert has(insight.symbolic_analysis, "symbol serpent emerged", "1 before, 2 after")
    assert has(insight.integration_guidance, "grief has come to its end")
    assert insight.emergent_symbols == ("serpent",)
    assert insight.cautions == ()
    assert insight.insight_type == "interpretation"


def test_a_run_that_only_took_away_is_not_called_quiet() -> None:
    insight = rules.answer(a_run(PRE, ArchetypalState(energies=PRE.energies), -0.5))
    assert has(insight.symbolic_analysis, "Hero has withdrawn", "0.60 before")
    assert not has(insight.symbolic_analysis, "quiet-run")


def test_a_change_of_a_tenth_is_not_a_shift() -> None:
    pre, post = ArchetypalState(archetypes={"A": 0.3, "B": 0.1}), ArchetypalState(archetypes={"A": 0.4, "B": 0.2})
    insight = rules.answer(a_run(pre, post, 0.1))
    assert has(insight.symbolic_analysis, "quiet-run")
    assert len(insight.symbolic_analysis) == 1


@pytest.mark.parametrize(
    ("intensity", "rule"),
    [
        (-0.2, "still-or-releasing"),
        (0.0, "still-or-releasing"),
        (0.01, "gentle-transformation"),
        (0.3, "gentle-transformation"),
        (0.31, "clear-transformation"),
        (0.7, "clear-transformation"),
        (0.71, "strong-transformation"),
        (9.99, "strong-transformation"),
    ],
)
def test_every_intensity_has_exactly_one_name(intensity: float, rule: str) -> None:
    told = rules.answer(a_run(intensity=intensity)).interpretation
    assert re.findall(r"\((strong|clear|gentle|still)-([\w-]+):", told) == [tuple(rule.split("-", 1))]


def test_a_run_without_an_intensity_gets_that_of_its_states() -> None:
    same = rules.answer(a_run(PRE, PRE, None))
    assert has(same.interpretation, "still-or-releasing", "0.00")


def test_a_strong_run_is_a_warning() -> None:
    insight = rules.answer(a_run(intensity=0.9))
    assert insight.insight_type == "warning"
    assert has(insight.cautions, "much-at-once", "0.90 > 0.70")
    assert has(insight.integration_guidance, "rest-after-strength")


def test_a_surge_of_shadow_and_a_spent_energy_are_warned_of() -> None:
    pre = ArchetypalState(archetypes={"Shadow": 0.1}, energies={"Fire": 0.8})
    post = ArchetypalState(archetypes={"Shadow": 0.6}, energies={"Fire": 0.1})
    insight = rules.answer(a_run(pre, post, 0.6))
    assert has(insight.cautions, "shadow-surge", "0.10 → 0.60")
    assert has(insight.cautions, "energy-spent", "0.80 → 0.10")


def test_a_completed_integration_is_celebrated_unless_there_are_cautions() -> None:
    post = ArchetypalState(archetypes=PRE.archetypes, integrations=("inner child", "the mother"))
    celebrated = rules.answer(a_run(PRE, post, 0.2))
    assert celebrated.insight_type == "celebration"
    assert has(celebrated.integration_guidance, "the mother", "integration-completed", "1 before, 2 after")
    assert rules.answer(a_run(PRE, post, 0.8)).insight_type == "warning"


def test_a_state_alone_gives_guidance() -> None:
    insight = rules.answer(Consult(id="c", post=PRE))
    assert insight.insight_type == "guidance"
    assert has(insight.interpretation, "outline", "3 archetypes, 2 energies, 1 symbols")
    assert has(insight.symbolic_analysis, "Hero", "leading-archetype", "0.60")
    assert has(insight.symbolic_analysis, "Fire energy flows most", "0.90")
    assert has(insight.integration_guidance, "nothing-presses")


def test_an_empty_state_is_a_blank_page() -> None:
    insight = rules.answer(Consult(id="c"))
    assert has(insight.interpretation, "blank-page")
    assert insight.insight_type == "guidance"


def test_the_rituals_that_a_state_calls_for_are_named_with_their_numbers() -> None:
    state = ArchetypalState(
        archetypes={"Light": 0.9, "Shadow": 0.1},
        energies={f"e{n}": 0.9 for n in range(6)},
        transformations=("a", "b", "c"),
    )
    for consult in (Consult(id="c", post=state), a_run(PRE, state)):
        insight = rules.answer(consult)
        assert insight.next_rituals == ("energy_integration", "shadow_integration", "transformation_completion")
        assert has(insight.integration_guidance, "energy_integration", "much-energy", "5.40 > 5.00")
        assert has(insight.integration_guidance, "shadow_integration", "0.80 apart, more than 0.50")
        assert has(insight.integration_guidance, "transformation_completion", "3 open, more than 2")


def test_a_circle_is_told_what_it_shares() -> None:
    insight = rules.answer(Consult(id="c", ritual_name="void", collective=COLLECTIVE))
    assert insight.insight_type == "interpretation"
    assert has(insight.interpretation, "“void”", "3 transformed", "steady-together", "rhythm-unknown")
    assert has(insight.symbolic_analysis, "Shadow is common ground", "mean 0.90 over 3", "0.05")
    assert has(insight.symbolic_analysis, "Light is strong in some", "0.40")
    assert has(insight.symbolic_analysis, "Hero is strong among you", "0.20")
    assert not has(insight.symbolic_analysis, "Sage")  # one of three has it: that is nothing shared
    assert has(insight.symbolic_analysis, "Fire energy")
    assert has(insight.symbolic_analysis, "serpent", "held by 2")
    assert insight.emergent_symbols == ("serpent", "moon")
    assert insight.next_rituals == ("shadow_integration",)
    assert has(insight.integration_guidance, "circle-calls-for", "shadow_integration")


@pytest.mark.parametrize(
    ("r", "rule"), [(None, "rhythm-unknown"), (0.2, "each-their-own-rhythm"), (0.7, "swinging-together")]
)
def test_a_circles_coherence_is_told_where_it_is_known(r: float | None, rule: str) -> None:
    collective = {**COLLECTIVE, "coherence": {"r": r, "unbiased": None, "n": 3}}
    assert has(rules.answer(Consult(id="c", collective=collective)).interpretation, rule)


def test_a_strong_group_ritual_is_a_warning() -> None:
    insight = rules.answer(Consult(id="c", collective={**COLLECTIVE, "mean_intensity": 1.2}))
    assert insight.insight_type == "warning"
    assert has(insight.cautions, "much-at-once", "1.20 > 0.70")


@pytest.mark.parametrize("collective", [{}, {"archetypes": [1], "symbols": "x", "coherence": 3, "transformed": True}])
def test_a_summary_of_another_form_is_read_as_far_as_it_can_be(collective: dict[str, object]) -> None:
    assert has(rules.answer(Consult(id="c", collective=collective)).interpretation, "0 transformed")


def test_names_with_braces_and_percents_stay_as_they_are() -> None:
    name = "{0} {name!r} %s $x"
    post = ArchetypalState(archetypes={name: 0.9}, symbols=(name,))
    assert has(rules.answer(a_run(PRE, post)).symbolic_analysis, f"symbol {name} emerged")


def test_a_notice_is_passed_on() -> None:
    for consult in (a_run(), Consult(id="c", post=PRE), Consult(id="c", collective=COLLECTIVE)):
        assert rules.answer(consult, "why").notice == "why"


def test_every_rule_has_a_name_of_its_own_in_its_table() -> None:
    for table in (run_rules.RULES, (*state_rules.CALLS, *state_rules.OUTLINE), circle_rules.RULES):
        names = [rule.name for rule in table]  # type: ignore[attr-defined]
        assert len(names) == len(set(names))


names = st.text(min_size=1, max_size=8)
strengths = st.dictionaries(names, st.floats(0, 1), max_size=8)
lists = st.lists(names, max_size=8).map(tuple)
states = st.builds(
    ArchetypalState, archetypes=strengths, energies=strengths, integrations=lists, symbols=lists, transformations=lists
)


@settings(max_examples=50)
@given(pre=st.none() | states, post=states, intensity=st.floats(-9.99, 9.99))
def test_rules_always_have_an_answer(pre: ArchetypalState | None, post: ArchetypalState, intensity: float) -> None:
    consult = Consult(id="c", pre=pre, post=post, intensity=intensity)
    insight = rules.answer(consult)
    assert insight.interpretation
    assert insight.integration_guidance
    assert rules.answer(consult) == insight
    assert insight_codec.decode(1, insight_codec.encode(insight)) == insight
