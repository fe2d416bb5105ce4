"""The oracle that needs no one: rules, written out as tables. Pure.

Each row of a table (``run_rules``, ``state_rules``, ``circle_rules``) finds something in a consultation and says it in plain
words; every text ends with the row's name and the numbers that led to it, so whoever reads an insight can check it. Nothing
here is guessed: there is no confidence. The thresholds of suggested rituals are those of the practitioner's transformation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from actors.oracle import circle_rules, run_rules, state_rules
from actors.oracle.context import Circle, added, circle
from actors.oracle.rule import told
from actors.oracle.values import Consult, Insight, InsightType
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.transformation import suggestions

MODEL: Final = "rules-v1"
SYMBOLS_MAX: Final = 12
"""Emergent symbols that an insight names."""


def answer(consult: Consult, notice: str | None = None) -> Insight:
    """The rules' insight. ``notice`` says why rules answer where something else was asked for."""
    if consult.collective is not None:
        return _of_circle(consult, circle(consult.collective), notice)
    state = consult.post or ArchetypalState()
    return _of_state(state, notice) if consult.pre is None else _of_run(consult, consult.pre, notice)


def insight_type(consult: Consult, cautions: Sequence[str]) -> InsightType:
    """A warning where cautions were raised, a celebration where an integration was completed, guidance without a run."""
    if cautions:
        return "warning"
    if consult.collective is not None:
        return "interpretation"
    if consult.pre is None:
        return "guidance"
    if consult.post is not None and added(consult.pre.integrations, consult.post.integrations):
        return "celebration"
    return "interpretation"


def _of_run(consult: Consult, pre: ArchetypalState, notice: str | None) -> Insight:
    run = run_rules.run(consult, pre)
    cautions = told(run_rules.RULES, run, "caution")
    return Insight(
        insight_type=insight_type(consult, cautions),
        interpretation=" ".join(told(run_rules.RULES, run, "interpretation")),
        symbolic_analysis=told(run_rules.RULES, run, "symbolic"),
        integration_guidance=(
            *told(run_rules.RULES, run, "guidance"),
            *told(state_rules.CALLS, run.post, "guidance"),
        ),
        emergent_symbols=run.symbols[:SYMBOLS_MAX],
        next_rituals=suggestions(run.post),
        cautions=cautions,
        oracle_model=MODEL,
        notice=notice,
    )


def _of_state(state: ArchetypalState, notice: str | None) -> Insight:
    rules = (*state_rules.CALLS, *state_rules.OUTLINE)
    return Insight(
        insight_type="guidance",
        interpretation=" ".join(told(rules, state, "interpretation")),
        symbolic_analysis=told(rules, state, "symbolic"),
        integration_guidance=told(rules, state, "guidance"),
        next_rituals=suggestions(state),
        oracle_model=MODEL,
        notice=notice,
    )


def _of_circle(consult: Consult, found: Circle, notice: str | None) -> Insight:
    facts = circle_rules.Gathering(ritual=consult.ritual_name or "ritual", circle=found)
    cautions = told(circle_rules.RULES, facts, "caution")
    return Insight(
        insight_type=insight_type(consult, cautions),
        interpretation=" ".join(told(circle_rules.RULES, facts, "interpretation")),
        symbolic_analysis=told(circle_rules.RULES, facts, "symbolic"),
        integration_guidance=told(circle_rules.RULES, facts, "guidance"),
        emergent_symbols=tuple(name for name, _ in circle_rules.by_holders(found)[:SYMBOLS_MAX]),
        next_rituals=suggestions(circle_rules.means(found)),
        cautions=cautions,
        oracle_model=MODEL,
        notice=notice,
    )
