from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.oracle import answer
from actors.oracle.answer import NotAnInsight, Parts, parse

WHOLE: dict[str, Any] = {
    "interpretation": "The Shadow is met.",
    "symbolic_analysis": ["the descent"],
    "integration_guidance": ["write", "walk"],
    "emergent_symbols": ["serpent"],
    "next_rituals": ["energy_attunement"],
    "cautions": [],
}
PARTS = Parts(
    interpretation="The Shadow is met.",
    symbolic_analysis=("the descent",),
    integration_guidance=("write", "walk"),
    emergent_symbols=("serpent",),
    next_rituals=("energy_attunement",),
)
SIX_SECTIONS = """Dear one,

**1. SYMBOLIC INTERPRETATION:** The Shadow is met.
It no longer hides.

### 2. Integration Guidance
- write
- walk

3) EMERGENT SYMBOLS: serpent

4. SHADOW DYNAMICS: the descent
5. NEXT STEPS:
1. energy_attunement
6. WARNINGS: None at this time.
"""


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE),
        f"  \n{json.dumps(WHOLE, indent=2)}\n",
        f"Gladly. Here it is:\n```json\n{json.dumps(WHOLE)}\n```\nBe well {{friend}}.",
        f"Of {{light}} and shadow: {json.dumps(WHOLE)}",
        json.dumps({**WHOLE, "extra": 1}),
    ],
)
def test_json_is_read_alone_in_prose_and_in_a_fence(text: str) -> None:
    assert parse(text) == PARTS


def test_lists_that_were_left_out_are_empty() -> None:
    assert parse('{"interpretation": "x"}') == Parts(interpretation="x")


def test_the_six_numbered_sections_are_read_as_text() -> None:
    assert parse(SIX_SECTIONS) == Parts(
        interpretation="The Shadow is met.\nIt no longer hides.",
        symbolic_analysis=("the descent",),
        integration_guidance=("write", "walk"),
        emergent_symbols=("serpent",),
        next_rituals=("energy_attunement",),
    )


def test_a_warning_in_the_sixth_section_is_a_caution() -> None:
    text = "1. SYMBOLIC INTERPRETATION: x\n6. WARNINGS: Nothing new, but rest."
    assert parse(text).cautions == ("Nothing new, but rest.",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither"),
        ("The stars are silent.", "neither"),
        (json.dumps(WHOLE)[:-20], "not complete"),
        (f"```json\n{json.dumps(WHOLE)[:40]}", "not complete"),
        ("{" * 5_000, "not complete"),
        ('{"a":' * 5_000, "not complete"),
        ("[" * 100_000, "neither"),
        ('{"insight": "none"}', "another shape"),
        ('{"interpretation": 7}', "interpretation is not text"),
        ('{"interpretation": null}', "interpretation is not text"),
        ('{"interpretation": " \\u0000 "}', "empty"),
        ('{"interpretation": "x", "cautions": "beware"}', "cautions is not a list"),
        ('{"interpretation": "x", "cautions": [["beware"]]}', "cautions is not a list"),
        ("2. INTEGRATION GUIDANCE: rest", "neither"),
    ],
)
def test_half_an_answer_or_another_one_is_none(text: str, why: str) -> None:
    with pytest.raises(NotAnInsight, match=why):
        parse(text)


def test_lengths_and_counts_are_bounded() -> None:
    parts = parse(
        json.dumps(
            {
                "interpretation": "i" * 50_000,
                "symbolic_analysis": ["a" * 5_000] * 500,
                "emergent_symbols": ["s" * 500] * 500,
            }
        )
    )
    assert len(parts.interpretation) == answer.INTERPRETATION_MAX
    assert len(parts.symbolic_analysis) == len(parts.emergent_symbols) == answer.ITEMS_MAX
    assert {len(item) for item in parts.symbolic_analysis} == {answer.ITEM_MAX}
    assert {len(item) for item in parts.emergent_symbols} == {answer.NAME_MAX}


def test_controls_directions_and_half_surrogates_are_taken_out() -> None:
    assert (
        parse('{"interpretation": "a\\u0000b\\u001b[31mc\\n\\u202ed\\ud800e \\u2764"}').interpretation
        == "ab[31mc\nde ❤"
    )


@given(st.text())
def test_any_text_is_an_insight_or_refused_and_what_is_let_through_is_clean(text: str) -> None:
    try:
        parts = parse(json.dumps({"interpretation": text, "cautions": [text] * 20}))
    except NotAnInsight:
        return
    parts.interpretation.encode()
    assert "\0" not in parts.interpretation
    assert len(parts.cautions) <= answer.ITEMS_MAX
    with contextlib.suppress(NotAnInsight):
        parse(text)


def test_a_megabyte_of_line_breaks_is_refused_at_once() -> None:
    for text in ("\n" * 2**20, "1.\n" * 2**18, " *" * 2**19):
        with pytest.raises(NotAnInsight):
            parse(text)


def test_the_schema_is_strict_and_has_bounds_only_where_they_are_asked_for() -> None:
    plain = answer.schema()
    assert plain["additionalProperties"] is False
    assert set(plain["required"]) == set(plain["properties"]) == set(answer.FIELDS)
    assert "maxLength" not in json.dumps(plain)
    bounded = answer.schema(text_max=80, items_max=2)
    assert bounded["properties"]["interpretation"] == {"type": "string", "maxLength": 80}
    assert bounded["properties"]["cautions"]["maxItems"] == 2
