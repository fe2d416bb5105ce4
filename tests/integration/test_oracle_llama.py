"""The oracle against a real language model: llama.cpp's own HTTP server, no mock of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest

from actors.oracle import answer, values
from actors.oracle.spending import Spending
from actors.oracle.values import Consult, insight_codec
from actors.oracle.worker import OracleHandler
from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.entity import Caller
from actors.runtime.wire import Ask

SERVER = Path(__file__).with_name("llama_server.py")
MAX_TOKENS = 800
CONSULT = Consult(
    id="c",
    consent=True,
    ritual_name="shadow_integration",
    intention="to find peace",
    pre=ArchetypalState(archetypes={"Shadow": 0.2}),
    post=ArchetypalState(archetypes={"Shadow": 0.5}, integrations=("the mother",), symbols=("serpent",)),
    intensity=0.5,
)


class Llama(NamedTuple):
    url: str
    process: asyncio.subprocess.Process


@pytest.fixture
async def llama() -> AsyncIterator[Llama]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    address = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{address}/health")).json() == {"status": "ok"}
        yield Llama(f"{address}/v1", process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def handler(url: str, spend_path: Path, **settings: object) -> OracleHandler:
    return OracleHandler(
        **{  # type: ignore[arg-type]
            "url": url,
            "model": "smollm2",
            "spend_path": spend_path,
            "timeout_s": 60.0,
            "max_tokens": MAX_TOKENS,
            "schema": answer.schema(text_max=60, items_max=2),
            "transport": httpx.AsyncHTTPTransport(),
            **settings,
        }
    )


async def test_a_real_model_answers_by_the_schema_and_its_tokens_are_counted(llama: Llama, tmp_path: Path) -> None:
    spent = tmp_path / "spent.json"
    oracle = handler(llama.url, spent)
    insight = insight_codec.decode(1, await oracle(Ask(1, "e", values.encode(CONSULT))))
    assert insight.notice is None
    assert insight.oracle_model == "smollm2"
    assert 0 < len(insight.interpretation) <= 60
    lists = (insight.symbolic_analysis, insight.integration_guidance, insight.next_rituals, insight.cautions)
    assert all(len(texts) <= 2 and all(0 < len(text) <= 60 for text in texts) for texts in lists)
    assert insight.insight_type == ("warning" if insight.cautions else "celebration")
    assert insight.confidence_score is not None  # llama.cpp gives the tokens' probabilities
    assert 0 < insight.confidence_score <= 1
    assert 500 < insight.tokens < 2_000  # the prompt's and the answer's, as the server counts them
    assert msgspec.json.decode(spent.read_bytes(), type=Spending).tokens == insight.tokens
    await oracle.close()


async def test_a_real_answer_that_is_cut_off_is_none(llama: Llama, tmp_path: Path) -> None:
    oracle = handler(llama.url, tmp_path / "spent.json", max_tokens=8)
    insight = await oracle.answer(CONSULT)
    assert insight.oracle_model == "rules-v1"
    assert insight.notice is not None
    assert "the JSON is not complete" in insight.notice
    await oracle.close()


async def test_a_model_that_died_is_said_and_rules_answer(llama: Llama, tmp_path: Path) -> None:
    oracle = handler(llama.url, tmp_path / "spent.json")
    llama.process.kill()
    await llama.process.wait()
    insight = await oracle.answer(CONSULT)
    assert insight.oracle_model == "rules-v1"
    assert insight.notice == "Oracle consultation unavailable: it could not be reached; rules answered instead"
    await oracle.close()


async def test_a_real_model_writes_a_text_that_is_read_as_it_comes(llama: Llama, tmp_path: Path) -> None:
    spent, id_, pieces = tmp_path / "spent.json", "00000000-0000-4000-8000-000000000001", list[values.Piece]()
    oracle, caller = handler(llama.url, spent), Caller("e")
    write = values.Write(id=id_, kind="prayer", intention="for calm seas", max_tokens=50)
    await oracle(Ask(1, "e", values.encode(write), caller))
    while not pieces or pieces[-1].ending is None:
        read = values.ReadOn(id=id_, after=sum(len(piece.text) for piece in pieces))
        pieces.append(values.piece_codec.decode(1, await oracle(Ask(1, "e", values.encode(read), caller))))
    ending = pieces[-1].ending
    assert (ending.source, ending.model) == ("model", "smollm2")
    assert len([piece for piece in pieces if piece.text]) > 3
    assert 50 < ending.tokens <= 500  # the endpoint's own count: the prompt, and 50 at most
    assert msgspec.json.decode(spent.read_bytes(), type=Spending).tokens == ending.tokens
    await oracle.close()
