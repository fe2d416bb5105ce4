"""``sangha sky`` as a person meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from server.cli import app

JUNE = ("--at", "2024-06-20T20:51:00Z")
VIENNA = ("--lat", "48.2082", "--lon", "16.3738")


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["sky", *options], env={"COLUMNS": "100"})


def test_a_table_that_people_read() -> None:
    shown = run(*JUNE, *VIENNA, "--houses", "placidus").output
    for text in (
        "2024-06-20 20:51:00 UTC",
        "at 48.2082° N, 16.3738° E",
        "☉ Sun      00°00′00″ Cancer",
        "♇ Pluto    01°35′17″ Aquarius     ℞",
        "Waxing Gibbous, 98.2 % lit",
        "Full Moon 2024-06-22 01:07",
        "Thursday, the day of ♃ Jupiter",
        "placidus: ascendant",
        "XII ",
        "set 2024-06-20 18:58",
        "September equinox 2024-09-22 12:43",
    ):
        assert text in shown, shown
    assert max(map(len, shown.splitlines())) <= 100


def test_times_are_shown_in_the_zone_that_was_asked_in() -> None:
    shown = run("--at", "2024-06-20T22:51:00+02:00", *VIENNA).output
    assert "2024-06-20 22:51:00 UTC+02:00" in shown
    assert "set 2024-06-20 20:58" in shown
    assert "☉ Sun      00°00′00″ Cancer" in shown


def test_without_a_place_it_says_what_a_place_would_show() -> None:
    shown = run(*JUNE).output
    assert "--lat and --lon show houses" in shown
    assert "house " not in shown


def test_json_is_the_whole() -> None:
    sky = json.loads(run(*JUNE, *VIENNA, "--json").output)
    assert sky["at"] == "2024-06-20T20:51:00Z"
    assert [each["body"] for each in sky["positions"]][:2] == ["sun", "moon"]
    assert sky["houses"]["system"] == "whole_sign"
    assert len(sky["planetary_hour"]["day"]["hours"]) == 24


def test_the_midnight_sun_is_told() -> None:
    shown = run(*JUNE, "--lat", "69.65", "--lon", "18.96", "--houses", "placidus").output
    assert "does not set now (polar day)" in shown
    assert "planetary hours divide" in shown
    assert "no houses: Placidus is undefined" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lat", "91", "--lon", "0"), "--lat 91 is not between -90 and 90"),
        (("--lat", "0", "--lon", "181"), "--lon 181 is not between -180 and 180"),
        (("--lat", "nan", "--lon", "0"), "--lat nan is not"),
        (("--lat", "1"), "both --lat and --lon"),
        (("--at", "2024-06-20T20:51:00"), "has no zone"),
        (("--at", "tomorrow"), "is no time"),
        (("--at", "0001-01-01T00:00:00+14:00"), "is no time"),
        (("--at", "1800-01-01T00:00:00Z"), "1899 to 2053"),
        (("--houses", "koch"), "whole_sign, equal, placidus"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(options: tuple[str, ...], said: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
