"""A whole server with a language model behind its oracle, played by an HTTP server of ours that does what each test says.

What leaves the server, when, and that the key stays where it is; that there is an insight, once, whatever the model does and
whoever dies meanwhile.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from circle import Circle
from harness import RunningServer, until
from looking import files_with

from actors.oracle.worker import NO_CONSENT, NO_CONSENT_OF_ALL
from server.ray_environment import ON_LOOPBACK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

KEY = "test-key-9d41c7e2b8"
MODEL = "test/oracle-1"
TIMEOUT_S = 2.0
SLACK_S = 3.0
"""Beyond the time-out, on a machine that does other things too."""
UNAVAILABLE = "Oracle consultation unavailable: "
INSIGHT = {
    "interpretation": "The lantern was carried into the cellar.",
    "symbolic_analysis": ["descent"],
    "integration_guidance": ["write it down"],
    "emergent_symbols": ["lantern"],
    "next_rituals": ["energy_attunement"],
    "cautions": [],
}
STATE = {
    "archetypes": {"Light": 0.9, "Shadow": 0.2},
    "energies": {"fire": 0.5},
    "integrations": [],
    "symbols": ["Nachtigallenbaum"],
    "transformations": [],
}
COMPLETION = {
    "choices": [{"message": {"content": orjson.dumps(INSIGHT).decode()}, "finish_reason": "stop"}],
    "usage": {"total_tokens": 700},
}
IN_RAY = """
import sys, ray
from ray._private.state import state
from ray.experimental import internal_kv as kv
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
known = state._connect_and_get_accessor()
rows = [*known.get_actor_table(None, None), *known.get_worker_table(), *known.get_task_events()]
rows += [state.job_table(), state.node_table()]
for name in (None, b"job", b"session", b"dashboard", b"fun", b"cluster", b"healthcheck", b"tracing"):
    for key in kv._internal_kv_list(b"", namespace=name):
        rows += [key, kv._internal_kv_get(key, namespace=name) or b""]
for row in rows:
    sys.stdout.buffer.write(row if isinstance(row, bytes) else repr(row).encode())
"""
"""All that Ray's control store tells whoever may ask it: actors with their arguments, jobs, workers, its keys and values."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def well(_: web.Request) -> web.StreamResponse:
    return web.json_response(COMPLETION)


async def hanging(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def half_a_response(_: web.Request) -> web.StreamResponse:
    return web.Response(body=orjson.dumps(COMPLETION)[:60], content_type="application/json")


async def half_an_insight(_: web.Request) -> web.StreamResponse:
    content = orjson.dumps(INSIGHT).decode()[:70]
    return web.json_response({"choices": [{"message": {"content": content}, "finish_reason": "length"}]})


async def echoing_the_key(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": f"no such key: {request.headers['Authorization']}"}}, status=401)


class Model:
    """The other side."""

    def __init__(self) -> None:
        self.answer: Answer = well
        self.requests: list[tuple[httpx.Headers, dict[str, Any]]] = []

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((httpx.Headers(dict(request.headers)), await request.json()))
        return await self.answer(request)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def playing() -> AsyncIterator[tuple[RunningServer, Model]]:
    model, app = Model(), web.Application()
    app.router.add_post("/v1/chat/completions", model.completions)
    async with (
        TestServer(app, handler_cancellation=True) as fake,
        RunningServer(
            SANGHA_ORACLE_URL=str(fake.make_url("/v1")),
            OPENROUTER_API_KEY=KEY,
            ORACLE_MODEL=MODEL,
            SANGHA_ORACLE_TIMEOUT_S=str(TIMEOUT_S),
            SANGHA_LOG_LEVEL="debug",
        ) as server,
    ):
        yield server, model


@pytest.fixture
def server(playing: tuple[RunningServer, Model]) -> RunningServer:
    return playing[0]


@pytest.fixture
def model(playing: tuple[RunningServer, Model]) -> Model:
    playing[1].answer = well
    playing[1].requests.clear()
    return playing[1]


class Person:
    """An account over HTTP, and all that it was answered."""

    said = bytearray()
    """To all of them."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.http, self.headers = http, {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, **how: Any) -> Any:
        answer = await self.http.request(method, path, headers=self.headers, **how)
        Person.said += answer.content
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def consents(self, given: bool = True) -> None:
        profile = await self.call("PUT", "/api/users/profile", json={"oracle_consent": given})
        assert profile["oracle_consent"] is given

    async def run(self) -> str:
        """The session of a ritual on a state of telltale words."""
        await self.call("PUT", "/api/users/archetypal_state", json=STATE)
        body = {"ritual_name": "shadow_integration", "intention": "to see the underside"}
        session: str = (await self.call("POST", "/api/rituals/execute", json=body))["session_id"]
        return session

    async def reflect(self, session: str | None = None) -> Any:
        body = {} if session is None else {"session_id": session}
        return await self.call("POST", "/api/state/reflection", json=body)


@pytest_asyncio.fixture(loop_scope="module")
async def maya(server: RunningServer) -> AsyncIterator[Person]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "a long password", "spiritual_name": "Mayaluna"}
        yield Person(http, (await http.post("/api/users/register", json=body)).json()["token"])


async def rows(server: RunningServer, session: str) -> list[Any]:
    """The insights of a run, each beside the run's own column."""
    connection = await server.connect()
    try:
        found: list[Any] = await connection.fetch(
            """SELECT i.*, s.ai_interpretation FROM oracle_insights i JOIN ritual_sessions s ON s.id = i.session_id
               WHERE s.id = $1::uuid""",
            session,
        )
    finally:
        await connection.close()
    return found


async def test_without_consent_nothing_is_sent_and_rules_answer(maya: Person, model: Model) -> None:
    session = await maya.run()
    for insight in (await maya.reflect(session), await maya.reflect()):
        assert insight["oracle_model"] == "rules-v1"
        assert insight["interpretation"]
        assert insight["notice"] == NO_CONSENT
    await maya.consents()
    await maya.consents(False)
    assert (await maya.reflect(session))["notice"] == NO_CONSENT
    assert model.requests == []


async def test_with_consent_the_models_insight_comes_back_and_is_kept(
    server: RunningServer, maya: Person, model: Model
) -> None:
    await maya.consents()
    session = await maya.run()
    insight = await maya.reflect(session)
    assert {name: insight[name] for name in INSIGHT} == INSIGHT
    assert (insight["oracle_model"], insight["confidence_score"], insight["notice"]) == (MODEL, None, None)
    assert insight["session_id"] == session
    ((headers, request),) = model.requests
    assert headers["Authorization"] == f"Bearer {KEY}"
    sent = str(request["messages"])
    assert "Nachtigallenbaum" in sent
    assert "to see the underside" in sent
    assert "example.org" not in sent
    assert "Mayaluna" not in sent
    (row,) = await rows(server, session)
    assert (str(row["id"]), row["interpretation"]) == (insight["id"], INSIGHT["interpretation"])
    assert (row["oracle_model"], row["confidence_score"], row["notice"]) == (MODEL, None, None)
    assert orjson.loads(row["integration_suggestions"]) == INSIGHT["integration_guidance"]
    assert row["ai_interpretation"] == INSIGHT["interpretation"]
    (run,) = await maya.call("GET", "/api/rituals/sessions")
    assert run["ai_interpretation"] == INSIGHT["interpretation"]
    (kept,) = await maya.call("GET", f"/api/state/insights?session_id={session}")
    assert kept["interpretation"] == INSIGHT["interpretation"]


@pytest.mark.parametrize("answer", [hanging, half_a_response, half_an_insight, echoing_the_key])
async def test_a_model_that_gives_no_insight_leaves_it_to_the_rules_in_time(
    server: RunningServer, maya: Person, model: Model, answer: Answer
) -> None:
    await maya.consents()
    session = await maya.run()
    model.answer = answer
    began = time.monotonic()
    insight = await maya.reflect(session)
    assert time.monotonic() - began < TIMEOUT_S + SLACK_S
    assert model.requests
    assert insight["oracle_model"] == "rules-v1"
    assert insight["interpretation"]
    assert insight["notice"].startswith(UNAVAILABLE)
    (row,) = await rows(server, session)
    assert (row["notice"], row["ai_interpretation"]) == (insight["notice"], insight["interpretation"])
    model.answer = well
    assert (await maya.reflect(session))["oracle_model"] == MODEL, "it was asked again, and answered"


async def test_an_oracle_killed_in_the_middle_of_a_consultation_gives_one_insight(
    server: RunningServer, maya: Person, model: Model
) -> None:
    await maya.consents()
    session = await maya.run()
    model.answer = hanging
    pid = await server.pid_of("oracle/0")
    reflecting = asyncio.create_task(maya.reflect(session))
    await until(lambda: model.requests, "the model was asked")
    model.answer = well
    server.hit(pid, signal.SIGKILL)
    insight = await reflecting
    assert insight["interpretation"] == INSIGHT["interpretation"]
    assert len(model.requests) == 2
    assert await server.pid_of("oracle/0", other_than=pid) != pid
    (row,) = await rows(server, session)
    assert str(row["id"]) == insight["id"]
    assert len(await maya.call("GET", "/api/state/insights")) == 1


async def test_a_group_asks_a_model_where_each_of_them_consents(server: RunningServer, model: Model) -> None:
    async with Circle(server, 2) as circle, httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        for member, told in zip(circle.members, (NO_CONSENT_OF_ALL, None), strict=True):
            await Person(http, member.token).consents()
            before = await circle.versions()
            summary = await circle.check_closed(await circle.begin(), before)
            assert summary["insight"]["notice"] == told
            assert (summary["insight"]["oracle_model"] == MODEL) is (told is None)
            assert len(model.requests) == (told is None)


async def in_ray(server: RunningServer) -> bytes:
    """What ``IN_RAY`` prints."""
    gcs = psutil.Process(await server.pid_of("gcs"))
    port = next(one.laddr.port for one in gcs.net_connections() if one.status == psutil.CONN_LISTEN)
    environment = {"RAY_AUTH_TOKEN_PATH": str(server.data_dir / "ray.token"), "HOME": str(server.home), **ON_LOOPBACK}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IN_RAY, f"127.0.0.1:{port}", env=server._environment() | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


async def test_the_key_is_in_the_actors_own_file_and_nowhere_else(
    server: RunningServer, maya: Person, model: Model
) -> None:
    await maya.consents()
    session = await maya.run()
    model.answer = echoing_the_key
    assert (await maya.reflect(session))["notice"].startswith(UNAVAILABLE)
    model.answer = well
    assert (await maya.reflect(session))["oracle_model"] == MODEL
    assert [headers["Authorization"] for headers, _ in model.requests] == [f"Bearer {KEY}"] * 2
    key = KEY.encode()
    assert key not in Person.said
    assert key not in orjson.dumps(await server.status())
    await until(lambda: f"the oracle's model {MODEL}" in server.log(), "the failure is logged")
    assert KEY not in server.log()
    ray = await in_ray(server)
    assert b"OracleHost" in ray
    assert key not in ray
    assert server.process is not None
    for process in psutil.Process(server.process.pid).children(recursive=True):
        assert KEY not in " ".join(process.cmdline())
    (holder,) = (await asyncio.to_thread(files_with, server.home, KEY))[KEY]
    assert holder.name == "deployment.json"
    assert holder.stat().st_mode & 0o077 == 0
