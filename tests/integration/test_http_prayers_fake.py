"""``/api/v1/prayers`` through a gateway to real decisions of a wheel; rows as storage would have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from gateway_fakes import ALICE, BOB, World, world

from actors.prayer import commands as c
from actors.prayer.collection import BY_ID, COLLECTION, DEFAULT_DEDICATION
from actors.prayer.entity import PrayerWheelKind
from actors.runtime.entity import Context
from actors.runtime.errors import SanghaError
from actors.runtime.wire import Answer, Refused
from server.http import vajra_prayers

PREFIX = "/api/v1/prayers"
A, B = ({"Authorization": f"Bearer {name}"} for name in ("alice", "bob"))
SPIN = ("rate_mrpm", "spin_began_at", "spin_ends_at", "spin_angle")


class Wheels:
    """The shard of prayer wheels and what storage has of it, in this process."""

    def __init__(self, here: World) -> None:
        self.kind = PrayerWheelKind()
        self.now = datetime.now(UTC)
        self.states: dict[str, Any] = {}
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"prayer_wheels": {}, "prayer_accumulations": {}}
        self.replies: dict[str, bytes] = {}
        self.asked: list[Any] = []
        link = here.shards.link
        here.shards.link = lambda to: self if to.kind == "prayer_wheel" else link(to)  # type: ignore
        here.queries.accumulations = self.accumulations  # type: ignore[attr-defined]

    def once(self, cid: int) -> str:
        return f"link:{len(self.asked)}"

    def ask(self, make: Callable[[int], Any], on_answer: Callable[[Any], None]) -> None:
        ask = make(1)
        self.asked.append(ask)
        try:
            on_answer(Answer(1, self._answer(ask)))
        except SanghaError as refused:
            errors = tuple((each.path, each.message) for each in refused.errors)
            on_answer(Refused(1, refused.code, refused.message, errors))

    def _answer(self, ask: Any) -> bytes:
        if ask.operation in self.replies:
            return self.replies[ask.operation]
        state = self.states.setdefault(ask.entity, self.kind.initial(ask.entity))
        context = Context(entity_id=ask.entity, now=self.now, next_offset=1, caller=ask.caller, operation=ask.operation)
        decision = self.kind.decide(state, c.codec.decode(ask.command), context)
        for event in decision.events:
            state = self.kind.evolve(state, event, self.now)
            for row in self.kind.rows(event, state, self.now):
                self.rows[row.table].setdefault(row.values["id"], {}).update(row.values)
        self.states[ask.entity] = state
        reply = msgspec.json.encode(decision.reply)
        if ask.operation is not None:
            self.replies[ask.operation] = reply
        return reply

    async def accumulations(
        self, who: str, limit: int, before: str | None = None, *, dedicated: bool | None = None, only: str | None = None
    ) -> list[dict[str, Any]]:
        wheel = self.rows["prayer_wheels"].get(who, {})
        nothing = {"dedicated_at": None, "dedication": None, "dedication_id": None}
        found = [
            nothing | row | {name: wheel[name] if wheel["spinning"] == row["id"] else None for name in SPIN}
            for row in reversed(self.rows["prayer_accumulations"].values())
            if row["practitioner_id"] == who
            and only in (None, row["id"])
            and dedicated in (None, row.get("dedicated_at") is not None)
        ]
        ids = [row["id"] for row in found]
        return found[ids.index(before) + 1 if before else 0 :][:limit]


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        found.queries.login("alice", ALICE)
        found.queries.login("bob", BOB)
        yield found


@pytest.fixture
async def w(here: World) -> Wheels:
    return Wheels(here)


@pytest.fixture
async def http(here: World, w: Wheels) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=here.http + PREFIX, headers=A) as client:
        yield client


async def test_a_wheel_is_turned_by_hand_and_each_has_their_own(http: httpx.AsyncClient, w: Wheels) -> None:
    body = (await http.post("/wheel/rotate", json={"rotations": 110, "intention": "for the ill"})).json()
    assert body["count"] == {"rotations": 110, "malas": 1, "beads": 2}
    assert (body["practitioner"], body["accumulations"][0]["mantra"]) == (ALICE, "Om Mani Padme Hum")
    assert (await http.post("/wheel/rotate")).json()["count"]["rotations"] == 111
    assert (await http.get("/wheel")).json()["count"]["rotations"] == 111
    assert (await http.get("/wheel", headers=B)).json()["count"]["rotations"] == 0
    assert w.asked[0].entity == ALICE


async def test_a_rotation_with_a_key_is_counted_once(http: httpx.AsyncClient) -> None:
    for _ in range(3):
        answer = await http.post("/wheel/rotate", json={"rotations": 5}, headers={"Idempotency-Key": "k"})
    assert answer.json()["count"]["rotations"] == 5


async def test_a_wheel_takes_so_many_changes_a_minute_and_may_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vajra_prayers, "PER_MINUTE", 2)
    async with world() as here, httpx.AsyncClient(base_url=here.http + PREFIX, headers=A) as http:
        Wheels(here)
        here.queries.login("alice", ALICE)
        here.queries.login("bob", BOB)
        assert [(await http.post("/wheel/rotate")).status_code for _ in range(2)] == [200, 200]
        refused = await http.post("/wheel/stop")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert (await http.get("/wheel")).json()["count"]["rotations"] == 2
        assert (await http.post("/wheel/rotate", headers=B)).status_code == 200, "others have their own"


async def test_a_spin_is_shown_with_what_a_client_needs_to_count_on(http: httpx.AsyncClient, w: Wheels) -> None:
    body = (await http.post("/wheel/spin", json={"rate_rpm": 60, "duration_s": 600})).json()
    ends_at = datetime.fromisoformat(body["spinning"]["ends_at"])
    assert ends_at == w.now + timedelta(seconds=600)
    w.now += timedelta(seconds=61)
    body = (await http.get("/wheel")).json()
    assert (body["spinning"]["rotations"], body["count"]["rotations"], body["spinning"]["rate_rpm"]) == (61, 61, 60)
    body = (await http.post("/wheel/stop")).json()
    assert (body["spinning"], body["count"]["rotations"]) == (None, 61)
    until = (w.now + timedelta(hours=1)).isoformat()
    assert (await http.post("/wheel/spin", json={"until": until})).json()["spinning"]["ends_at"] is not None
    assert (await http.post("/wheel/spin")).json()["spinning"]["ends_at"] is None


async def test_a_list_counts_what_spins_by_the_time(http: httpx.AsyncClient, w: Wheels) -> None:
    w.now -= timedelta(hours=1)  # so long ago it began
    await http.post("/wheel/rotate", json={"rotations": 3, "mantra": "Om Shanti"})
    await http.post("/wheel/spin", json={"rate_rpm": 60, "duration_s": 500})
    newest, oldest = (await http.get("/accumulations")).json()
    assert (newest["count"]["rotations"], oldest["count"]["rotations"]) == (500, 3)
    page = (await http.get("/accumulations", params={"limit": "1", "before": newest["id"]})).json()
    assert [each["id"] for each in page] == [oldest["id"]]
    one = await http.get(f"/accumulations/{newest['id']}")
    assert one.json()["count"] == {"rotations": 500, "malas": 4, "beads": 68}
    assert (await http.get(f"/accumulations/{newest['id']}", headers=B)).status_code == 404


async def test_merit_is_dedicated_in_our_words_or_ones_own(http: httpx.AsyncClient) -> None:
    first = (await http.post("/wheel/rotate", json={"rotations": 108})).json()["accumulations"][0]["id"]
    body = (await http.post("/wheel/dedicate", json={"accumulation": first.upper()})).json()
    assert (body["dedication_id"], body["dedication"]) == (DEFAULT_DEDICATION, BY_ID[DEFAULT_DEDICATION].text)
    await http.post("/wheel/rotate", json={"mantra": "Om Shanti"})
    body = (await http.post("/wheel/dedicate", json={"mantra": "om shanti", "text": "To my sister."})).json()
    assert (body["dedication"], body["dedication_id"], body["count"]["rotations"]) == ("To my sister.", None, 1)
    await http.post("/wheel/rotate")
    assert [len((await http.get("/accumulations", params={"status": s})).json()) for s in ("open", "dedicated")] == [
        1,
        2,
    ]
    again = await http.post("/wheel/dedicate", json={"accumulation": first})
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/wheel/rotate", {"rotations": 0}, "rotations"),
        ("/wheel/rotate", {"rotations": 10**9}, "rotations"),
        ("/wheel/rotate", {"mantra": "a\nb"}, "mantra"),
        ("/wheel/spin", {"rate_rpm": 1e9}, "rate_rpm"),
        ("/wheel/spin", {"duration_s": 0}, "duration_s"),
        ("/wheel/spin", {"duration_s": 10**10}, "duration_s"),
        ("/wheel/spin", {"until": "2020-01-01T00:00:00Z"}, "until"),
        ("/wheel/spin", {"until": "9999-12-31T23:00:00-08:00"}, "until"),
        ("/wheel/spin", {"until": "2050-01-01T00:00:00"}, "until"),
        ("/wheel/spin", {"until": "2026-01-01T00:00:00Z", "duration_s": 5}, "duration_s"),
        ("/wheel/dedicate", {}, "accumulation"),
        ("/wheel/dedicate", {"accumulation": "x"}, "accumulation"),
        ("/wheel/dedicate", {"mantra": "Om", "text": " "}, "text"),
        ("/wheel/dedicate", {"mantra": "Om", "dedication": "for-courage"}, "dedication"),
        ("/wheel/dedicate", {"mantra": "Om", "dedication": "merit-to-all", "text": "t"}, "dedication"),
    ],
)
async def test_what_is_out_of_bounds_is_invalid_with_its_path(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], where: str
) -> None:
    answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, where)
    assert (await http.get("/wheel")).json()["count"]["rotations"] == 0


async def test_the_collection_is_anyones(here: World, w: Wheels) -> None:
    async with httpx.AsyncClient(base_url=here.http + PREFIX) as client:
        body = (await client.get(here.http + PREFIX)).json()
        assert (len(body["prayers"]), len(body["mantras"])) == (len(COLLECTION), 6)
        found = (await client.get(here.http + PREFIX, params={"kind": "prayer", "theme": "Courage"})).json()["prayers"]
        assert [each["id"] for each in found] == ["for-courage"]
        assert (await client.get("/for-courage")).json()["text"] == BY_ID["for-courage"].text
        assert (await client.get("/no-such-text")).status_code == 404
        assert (await client.get(here.http + PREFIX, params={"kind": "sermon"})).status_code == 422
        for method, path in (("GET", "/wheel"), ("POST", "/wheel/rotate"), ("GET", "/accumulations")):
            assert (await client.request(method, path)).status_code == 401
