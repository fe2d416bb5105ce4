"""``/api/v1/astrology`` over HTTP, without a database: the true ephemeris behind the fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from gateway_fakes import ALICE, World, world

from server.http import vajra_astrology as astrology
from server.http.vajra_astrology import OPERATIONS

JUNE = {"at": "2024-06-20T20:51:00Z"}
VIENNA = {"lat": "48.2082", "lon": "16.3738"}
TROMSO = {"lat": "69.65", "lon": "18.96"}
PATHS = [operation.path for operation in OPERATIONS]
PLACED = ("houses", "planetary-hour", "location")


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as here:
        here.queries.login("person", ALICE)
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer person"}
    async with httpx.AsyncClient(base_url=f"{w.http}/api/v1/astrology", headers=headers, timeout=20) as client:
        yield client


def wrong(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
    path: str = answer.json()["errors"][0]["path"]
    return path


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
async def test_every_answer_is_of_its_declared_type(http: httpx.AsyncClient, operation: astrology.Operation) -> None:
    (example,) = operation.examples
    answer = await http.get(operation.path.rpartition("/")[2], params=example.query)
    assert answer.status_code == 200, answer.text
    msgspec.convert(answer.json(), operation.reply, strict=True)
    assert answer.json()["at"] == JUNE["at"]
    assert answer.json()["timestamp"] == 1718916660


@pytest.mark.parametrize("path", PATHS)
async def test_a_login_is_asked_for(w: World, path: str) -> None:
    async with httpx.AsyncClient(base_url=w.http) as client:
        assert (await client.get(path, params=JUNE | VIENNA)).status_code == 401


async def test_the_published_client_finds_its_status(http: httpx.AsyncClient) -> None:
    for path, names in (
        ("current", ["astrology"]),
        ("moon-phase", ["moon_phase", "description"]),
        ("planetary-positions", ["planetary_positions"]),
    ):
        answer = (await http.get(path)).json()
        assert answer["status"] == "success"
        assert [name for name in names if name not in answer] == []
    mine = {"latitude": VIENNA["lat"], "longitude": VIENNA["lon"]}
    current = (await http.get("current", params=JUNE | mine)).json()
    assert current == (await http.get("current", params=JUNE | VIENNA)).json()
    sky = current["astrology"]
    assert sky["planetary_positions"]["sun"]["sign"] == "Cancer"
    assert sky["moon_phase"]["phase_name"] == "Waxing Gibbous"
    assert sky["auspicious_times"] is None


async def test_the_published_page_finds_its_chart(http: httpx.AsyncClient) -> None:
    """Its own request: its clock's time without a zone, and the browser's place."""
    asked = {"datetime_str": "2024-06-20T21:51:00", "latitude": VIENNA["lat"], "longitude": VIENNA["lon"]}
    answer = (await http.get("current", params=asked)).json()
    assert answer["at"] == JUNE["at"], "Vienna's longitude is an hour east"
    sky, placidus = (
        answer["astrology"],
        (await http.get("houses", params=JUNE | VIENNA | {"system": "placidus"})).json(),
    )
    assert (sky["datetime"], sky["location"]) == (JUNE["at"], {"latitude": 48.2082, "longitude": 16.3738})
    western, own = sky["western"], sky["planetary_positions"]
    assert {name: western["positions"][name]["longitude"] for name in own} == {
        name: body["longitude"] for name, body in own.items()
    }
    assert western["positions"]["ascendant"]["longitude"] == placidus["houses"]["ascendant"]
    assert [cusp["longitude"] for cusp in western["houses"].values()] == placidus["houses"]["cusps"]
    assert len(western["aspects"]) == len(sky["aspects"]) > 0
    hour = sky["planetary_hour"]
    assert sky["planetary_hours"]["current_planetary_hour"] == hour["hour"]["ruler"].title()
    assert sky["planetary_hours"]["day_planet"] == hour["day"]["ruler"].title()


async def test_where_placidus_or_hours_are_not_the_published_page_gets_none(http: httpx.AsyncClient) -> None:
    sky = (await http.get("current", params=JUNE | TROMSO)).json()["astrology"]
    assert (sky["western"]["houses"], sky["planetary_hours"]) == ({}, None)
    assert "ascendant" not in sky["western"]["positions"]
    assert sky["houses"]["system"] == "whole_sign"


async def test_what_depends_on_a_place_is_null_without_one(http: httpx.AsyncClient) -> None:
    answer = (await http.get("current", params=JUNE)).json()
    assert [answer["astrology"][name] for name in ("houses", "sun", "planetary_hour")] == [None] * 3
    assert answer["place"] is None
    assert answer["astrology"]["planetary_positions"]["sun"]["house"] is None


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"lat": "91", "lon": "0"}, "lat"),
        ({"lat": "0", "lon": "181"}, "lon"),
        ({"lat": "nan", "lon": "0"}, "lat"),
        ({"lat": "0", "lon": "inf"}, "lon"),
        ({"latitude": "-91", "longitude": "0"}, "latitude"),
        ({"lat": "1"}, "lon"),
        ({"lon": "1"}, "lat"),
        ({"lat": "1", "latitude": "1", "lon": "1"}, "latitude"),
        ({**VIENNA, "at": "2024-06-20T20:51:00"}, "at"),
        ({**VIENNA, "at": "2024-06-20"}, "at"),
        ({**VIENNA, "at": "1718916660"}, "at"),
        ({**VIENNA, "at": "1800-01-01T00:00:00Z"}, "at"),
        ({**VIENNA, "at": "2053-12-01T00:00:00Z"}, "at"),
        ({**VIENNA, "at": "9999-12-31T23:59:59-12:00"}, "at"),
    ],
)
async def test_bad_input_is_told_by_its_name(http: httpx.AsyncClient, query: dict[str, str], path: str) -> None:
    for each in ("current", *PLACED):
        assert wrong(await http.get(each, params=query)) == path, each


async def test_houses_need_a_place_a_known_system_and_a_latitude_that_has_them(http: httpx.AsyncClient) -> None:
    for path in PLACED:
        assert wrong(await http.get(path, params=JUNE)) == "lat"
    assert wrong(await http.get("houses", params=JUNE | VIENNA | {"system": "koch"})) == "system"
    polar = await http.get("houses", params=JUNE | TROMSO | {"system": "placidus"})
    assert wrong(polar) == "system"
    assert "polar circles" in polar.json()["detail"]
    assert (await http.get("houses", params=JUNE | TROMSO)).status_code == 200
    assert wrong(await http.get("houses", params=JUNE | {"lat": "90", "lon": "0"})) == "lat"
    whole = (await http.get("current", params=JUNE | TROMSO | {"system": "placidus"})).json()["astrology"]
    assert whole["houses"] is None
    assert "polar circles" in whole["notes"][0]


@pytest.mark.parametrize(
    ("at", "which", "said"),
    [
        ("2024-06-20T20:51:00Z", "polar_day", "does not set"),
        ("2024-12-21T09:00:00Z", "polar_night", "does not rise"),
    ],
)
async def test_polar_day_and_night_have_no_planetary_hours(
    http: httpx.AsyncClient, at: str, which: str, said: str
) -> None:
    hour = (await http.get("planetary-hour", params={"at": at} | TROMSO)).json()["planetary_hour"]
    assert (hour["hour"], hour["day"], hour["missing"]) == (None, None, which)
    assert said in hour["reason"]
    here = (await http.get("location", params={"at": at} | TROMSO)).json()
    assert (here["day"], here["sun"]["polar"], here["sun"]["next_sunset"]) == (None, which, None)


async def test_aspects_say_by_which_orbs_they_are(http: httpx.AsyncClient) -> None:
    answer = (await http.get("aspects", params=JUNE)).json()
    assert answer["rules"]["sextile"] == {"angle": 60.0, "orb": 6.0}
    first = answer["aspects"][0]
    assert (first["first"], first["kind"], first["second"]) == ("sun", "square", "neptune")
    assert abs(abs(first["separation"] - first["angle"]) - first["orb"]) < 1e-9


async def test_nobodys_place_is_remembered(http: httpx.AsyncClient) -> None:
    for method in ("POST", "PUT"):
        assert (await http.request(method, "location", json=VIENNA)).status_code == 405


def test_each_operation_has_a_handler_of_its_own() -> None:
    """Its name is the document's operation id."""
    assert len({operation.handler for operation in OPERATIONS}) == len(OPERATIONS)
