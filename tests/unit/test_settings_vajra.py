"""The settings of Vajra.Stream's ``config.py``, under the seed's names beside ours."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from server.settings import Settings

SEED = {
    "SAMPLE_RATE": ("sample_rate", "44100", 44100),
    "AUDIO_DEVICE": ("audio_device", "HDMI 0", "HDMI 0"),
    "MAX_VOLUME": ("max_volume", "0.5", 0.5),
    "PRAYER_BOWL_MODE": ("prayer_bowl_mode", "false", False),
    "PRAYER_BOWL_HARMONICS": ("prayer_bowl_harmonics", "0", False),
    "PRAYER_BOWL_ENVELOPES": ("prayer_bowl_envelopes", "no", False),
    "HARDWARE_LEVEL": ("hardware_level", "3", 3),
    "AMPLIFIER_CONNECTED": ("amplifier_connected", "true", True),
    "BLESSING_FREQUENCIES": ("blessing_frequencies", "[7.83, 528]", (7.83, 528.0)),
    "API_V1_STR": ("api_v1_str", "/api/v1", "/api/v1"),
    "PROJECT_NAME": ("project_name", "Mine", "Mine"),
}


@pytest.mark.parametrize("prefix", ["", "SANGHA_"])
@pytest.mark.parametrize("variable", SEED)
def test_each_is_read_under_both_names(monkeypatch: pytest.MonkeyPatch, prefix: str, variable: str) -> None:
    name, text, value = SEED[variable]
    monkeypatch.setenv(prefix + variable, text)
    assert getattr(Settings(_env_file=None), name) == value


def test_their_defaults_are_the_seeds() -> None:
    settings = Settings(_env_file=None)
    assert [getattr(settings, name) for name, *_ in SEED.values()] == [
        44100,
        "default",
        0.8,
        True,
        True,
        True,
        2,
        False,
        (7.83, 136.1, 528, 639, 741),
        "/api/v1",
        "Vajra.Stream API",
    ]


def test_blessing_frequencies_are_a_list_or_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[136.1, 528]", "136.1,528", " 136.1 , 528 ,"):
        monkeypatch.setenv("BLESSING_FREQUENCIES", text)
        assert Settings(_env_file=None).blessing_frequencies == (136.1, 528.0)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("SAMPLE_RATE", "48000", "must be 44100"),
        ("SAMPLE_RATE", "many", "integer"),
        ("MAX_VOLUME", "0.81", "less than or equal to 0.8"),
        ("MAX_VOLUME", "0", "greater than 0"),
        ("MAX_VOLUME", "nan", ""),
        ("HARDWARE_LEVEL", "0", "greater than or equal to 1"),
        ("AUDIO_DEVICE", "", "at least 1"),
        ("API_V1_STR", "/api/v2", "must be /api/v1"),
        ("BLESSING_FREQUENCIES", "[]", "must be 1 to 32"),
        ("BLESSING_FREQUENCIES", "[528", "no JSON list"),
        ("BLESSING_FREQUENCIES", "528, high", "number"),
        ("BLESSING_FREQUENCIES", "0", "above 0"),
        ("BLESSING_FREQUENCIES", "nan", "above 0"),
        ("BLESSING_FREQUENCIES", "20001", "at most 20000 Hz"),
        ("BLESSING_FREQUENCIES", ",".join(["528"] * 33), "must be 1 to 32"),
        ("SANGHA_PLACEMENT_AUDIO_SESSION", "many", "shared:N"),
    ],
)
def test_what_cannot_be_is_said_before_the_server_starts(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, says: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None)
    assert says in str(refused.value)
