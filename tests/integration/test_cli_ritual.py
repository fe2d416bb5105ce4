"""`sangha ritual …` as an author uses it: real compilers, the real sandbox, a real gateway with fake shards behind it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import wasmtime
from click.testing import Result
from gateway_fakes import ALICE, world
from ritual_fakes import RitualWorld, ritual_world
from typer.testing import CliRunner

from actors.ritual.commands import Difficulty
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import MODULE_BYTES_MAX
from server.cli_ritual import DifficultyName, LanguageName, ritual_app
from server.ritual_projects import LANGUAGES, MODULE
from server.ritual_upload import UploadRefused, log_in

SEED = "00000000-0000-0000-0000-000000000001"
UPLOAD = ("--name", "lantern", "--description", "Light.", "--intent", "to see")
REACHED_WASI = """
(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (import "codex" "lgo" (func (param i32 i32)))
  (memory (export "memory") 1) (func (export "execute_ritual") (result i32) (i32.const 0)))
"""
TRAPS = '(module (memory (export "memory") 1) (func (export "execute_ritual") (result i32) unreachable))'
LOOPS = '(module (memory (export "memory") 1) (func (export "execute_ritual") (result i32) (loop (br 0)) i32.const 0))'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory of one's own, AssemblyScript's compiler (see .ci/run) within reach, no settings of the caller's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{sys.prefix}/node/node_modules/.bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("SANGHA_TOKEN", "SANGHA_PASSWORD", "SANGHA_PORT", "SANGHA_RITUAL_FUEL"):
        monkeypatch.delenv(name, raising=False)


def sangha(*arguments: str, code: int = 0, **how: Any) -> Result:
    result = CliRunner().invoke(ritual_app, list(arguments), catch_exceptions=False, **how)
    assert result.exit_code == code, result.output
    return result


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def write(file: str, data: bytes) -> None:
    Path(file).write_bytes(data)


def read(file: str) -> bytes:
    return Path(file).read_bytes()


# From nothing to a run


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_codex_ritual_builds_is_accepted_and_runs(language: str, tmp_path: Path) -> None:
    written = sangha("new", "lantern", "--language", language).stdout.split()
    assert Path(written[0]).name == LANGUAGES[language].source
    readme = Path("lantern/README.md").read_text()
    assert readme.startswith("# lantern\n")
    assert "{{" not in "".join(Path(file).read_text() for file in written)
    assert len(readme.splitlines()) <= 30
    assert "lantern/ritual.wasm: " in sangha("build", "lantern").stdout
    checked = rows(sangha("check", "lantern").stdout)
    assert checked[0] == ["lantern", "accepted"]
    assert ["abi", "codex"] in checked
    shown = rows(sangha("run", f"lantern/{MODULE}", "--seed", SEED).stdout)
    for row in (
        ["before", "after", "change"],
        ["Sage", "0.600", "0.700", "+0.100"],
        ["Light", "0.700", "0.700"],
        ["symbols", "1", "2"],
        ["lantern", "new"],
        ["intensity", "0.312"],  # (0.1 + 7 × 0) / 8 + 0.3
        ["resonance", "0.700"],
        ["log", "the", "Sage", "comes", "nearer"],
        ["seed", SEED],
    ):
        assert row in shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_sangha_1_ritual_builds_and_runs_on_awkward_texts_too(language: str) -> None:
    sangha("new", "song", "--language", language, "--abi", "sangha-1")
    sangha("build", "song")
    assert ["abi", "sangha-1"] in rows(sangha("check", "song").stdout)
    theme = 'a "new" \\ song ]}, ☾'
    told = run_json("song", "--parameters", json.dumps({"x": [{"theme": 1}], "theme": theme}))
    assert told["state"]["transformations"] == ["a quiet goodbye", theme]
    assert told["state"]["symbols"] == ["key"]
    assert told["integration_required"] == [theme]
    Path("song/state.json").write_text(json.dumps({"transformations": [theme], "symbols": ['"transformations"']}))
    again = run_json("song", "--parameters", json.dumps({"theme": theme}))
    assert (again["state"]["transformations"], again["log"]) == ([theme], ["it was under way already"])
    Path("song/state.json").write_text("{}")
    assert run_json("song", "--parameters", '{"theme": 7}')["state"]["transformations"] == ["a beginning"]


def run_json(file: str, *arguments: str) -> Any:
    return json.loads(sangha("run", file, "--json", *arguments).stdout)


def test_a_name_that_is_taken_or_not_fit_is_one_line() -> None:
    sangha("new", "lantern")
    assert "lantern exists already" in sangha("new", "lantern", code=2).stderr
    assert "is no name for a ritual" in sangha("new", "Lan tern", code=2).stderr
    assert os.listdir() == ["lantern"]


# Build


@pytest.mark.parametrize(
    ("language", "installs"),
    [("c", "apt-get install clang lld"), ("rust", "libstd-rust-dev-wasm32"), ("assemblyscript", "npm install")],
)
def test_a_missing_toolchain_is_one_line_that_says_what_to_install(
    language: str, installs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sangha("new", "lantern", "--language", language)
    monkeypatch.setenv("PATH", str(Path.cwd()))
    told = sangha("build", "lantern", code=2).stderr
    assert installs in told
    assert told.count("\n") == 1


def test_a_rustc_without_the_target_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    sangha("new", "lantern", "--language", "rust")
    Path("bin").mkdir()
    Path("bin/rustc").write_text("#!/bin/sh\necho /nowhere\n")
    Path("bin/rustc").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{Path.cwd()}/bin{os.pathsep}{os.environ['PATH']}")
    sangha("build", "lantern")


def test_what_the_compiler_says_is_shown() -> None:
    sangha("new", "c", "--language", "c")
    Path("c/ritual.c").write_text("int broken(void) { return }")
    assert "expected expression" in sangha("build", "c", code=1).stderr
    sangha("new", "wat")
    Path("wat/ritual.wat").write_text("(module (func (export)))")
    assert "wat/ritual.wat" in sangha("build", "wat", code=1).stderr
    assert "wat/ritual.wat" in sangha("check", "wat/ritual.wat", code=1).stderr


def test_a_directory_without_one_source_is_not_built() -> None:
    assert "has no ritual.wat, ritual.c, ritual.rs, ritual.ts" in sangha("build", code=2).stderr
    for name in ("ritual.c", "ritual.rs"):
        Path(name).write_text("")
    assert "several sources: ritual.c, ritual.rs" in sangha("build", code=2).stderr


# Check and run


def test_a_module_that_would_be_refused_is_shown_with_every_reason() -> None:
    Path("bad.wat").write_text(REACHED_WASI)
    told = " ".join(sangha("check", "bad.wat", code=1).stdout.split())
    assert "bad.wat refused" in told
    assert "`wasi_snapshot_preview1.proc_exit` is WASI's" in told
    assert "did you mean `codex.log`?" in told
    report = json.loads(sangha("check", "bad.wat", "--json", code=1).stdout)
    assert (report["accepted"], len(report["problems"])) == (False, 2)
    told = sangha("run", "bad.wat", code=1).stderr
    assert "the module is not accepted" in told


def test_a_check_tries_the_requirements() -> None:
    checked = sangha("check", "energy_attunement", "--energy", "fire=0.2", "--energy", "water=0.2").stdout
    assert "execute_ritual answered 1" in checked
    four = [part for name in ("fire", "water", "earth", "air") for part in ("--energy", f"{name}=0.2")]
    assert ["dry", "run", "completed,"] in [row[:3] for row in rows(sangha("check", "energy_attunement", *four).stdout)]


@pytest.mark.parametrize("wrong", ["fire", "fire=hot", "=0.2", "fire=1.5", "fire=nan"])
def test_an_energy_is_a_name_and_a_level(wrong: str) -> None:
    assert "NAME=LEAST" in sangha("check", "energy_attunement", "--energy", wrong, code=2).stderr


@pytest.mark.parametrize(("wat", "why"), [(TRAPS, "unreachable"), (LOOPS, "fuel")])
def test_a_run_that_fails_says_why_and_shows_no_state(wat: str, why: str) -> None:
    Path("ritual.wat").write_text(wat)
    result = sangha("run", "ritual.wat", code=1)
    assert "ritual_failed: " in result.stderr
    assert why in result.stderr
    assert "before" not in result.stdout


def test_the_same_seed_is_the_same_run() -> None:
    first, same, other = (run_json("void_contemplation", "--seed", seed) for seed in (SEED, SEED, SEED[:-1] + "2"))
    assert first | {"duration_us": 0} == same | {"duration_us": 0}
    assert first["state"] != other["state"]
    assert first["transformation_intensity"] > 0


def test_a_state_of_ones_own_is_run_on_and_shown_with_what_came_and_went() -> None:
    Path("mine.json").write_text(json.dumps({"transformations": ["a", "b", "c"], "energies": {"x\x1b[31m": 1}}))
    shown = sangha("run", "transformation_completion", "--state", "mine.json").stdout
    assert ["a", "new"] in rows(shown)
    assert ["a", "gone"] in rows(shown)
    assert ["to", "integrate", "a"] in rows(shown)
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nowhere.wasm"], "nowhere.wasm: No such file or directory"),
        (["shadow_integration", "--state", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["shadow_integration", "--state", "text.json"], "text.json: not JSON"),
        (["shadow_integration", "--state", "wrong.json"], "archetypes.Light: must be a number from 0 to 1"),
        (["shadow_integration", "--parameters", "{"], "--parameters: not JSON"),
        (["shadow_integration", "--parameters", "[1]"], "--parameters: an object"),
        (["shadow_integration", "--parameters", json.dumps({"x": "y" * 20_000})], "16,384 are allowed"),
    ],
)
def test_what_a_person_can_put_right_is_one_line(arguments: list[str], why: str) -> None:
    Path("text.json").write_text("hello")
    Path("wrong.json").write_text('{"archetypes": {"Light": 2}}')
    told = sangha("run", *arguments, code=2).stderr
    assert why in told
    assert told.count("\n") == 1


def test_the_servers_limits_hold_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANGHA_RITUAL_FUEL", "1000")
    assert "fuel" in sangha("run", "archetype_invocation", code=1).stderr


def test_the_help_of_each_command_has_an_example() -> None:
    for command in ("new", "build", "check", "run", "upload"):
        assert f"Example: sangha ritual {command}" in sangha(command, "--help").stdout


def test_the_choices_are_those_of_the_code() -> None:
    assert list(LanguageName) == list(LANGUAGES)
    assert tuple(DifficultyName) == Difficulty.__args__  # type: ignore[attr-defined]  # a Literal's


# Upload


@pytest.fixture
async def w() -> AsyncIterator[RitualWorld]:
    """A gateway whose sandbox is a real one."""
    async with ritual_world() as here:
        here.queries.login("alice", ALICE)
        sandbox = Sandbox()
        here.shards.check = sandbox.check
        yield here
        sandbox.close()


async def upload(w: RitualWorld, *arguments: str, code: int = 0, **how: Any) -> Result:
    port = str(httpx.URL(w.http).port)
    return await asyncio.to_thread(sangha, "upload", *arguments, "--port", port, code=code, **how)


async def test_an_upload_brings_the_ritual_and_all_that_was_said_into_the_catalog(w: RitualWorld) -> None:
    await asyncio.to_thread(sangha, "new", "lantern", "--language", "c")
    await asyncio.to_thread(sangha, "build", "lantern")
    more = (
        "--tradition",
        "jungian",
        "--difficulty",
        "advanced",
        "--requires",
        "Sage",
        "--energy",
        "fire=0.2",
        "--public",
    )
    told = await upload(w, "lantern", *UPLOAD, *more, "--token", "alice")
    ((id_, ritual),) = w.shards.rituals.items()
    assert told.stdout == f"{id_}  lantern (codex, public)\n"
    about = ritual.about
    assert (about.name, about.description, about.intent, about.tradition) == ("lantern", "Light.", "to see", "jungian")
    assert (about.difficulty_level, about.required_archetypes) == ("advanced", ("Sage",))
    assert (dict(about.energy_requirements), about.is_public) == ({"fire": 0.2}, True)
    assert (ritual.module_language, ritual.author) == ("c", ALICE)
    assert ritual.module == read("lantern/ritual.wasm")


async def test_a_wat_file_is_assembled_and_the_token_may_come_from_the_environment(w: RitualWorld) -> None:
    await asyncio.to_thread(sangha, "new", "lantern")
    told = await upload(w, "lantern/ritual.wat", *UPLOAD, "--json", env={"SANGHA_TOKEN": "alice"})
    assert json.loads(told.stdout)["is_public"] is False
    (ritual,) = w.shards.rituals.values()
    assert (ritual.module_language, ritual.about.tradition) == ("wat", None)


async def test_a_refused_module_is_told_with_its_reasons(w: RitualWorld) -> None:
    write("bad.wasm", wasmtime.wat2wasm(REACHED_WASI))
    told = await upload(w, "bad.wasm", *UPLOAD, "--token", "alice", code=1)
    assert "ritual_rejected: " in told.stderr
    assert "WASI" in told.stderr
    assert "codex.log" in told.stderr
    write("big.wasm", b"\0asm\1\0\0\0".ljust(MODULE_BYTES_MAX + 1, b"\0"))
    assert "too_large: " in (await upload(w, "big.wasm", *UPLOAD, "--token", "alice", code=1)).stderr
    assert w.shards.rituals == {}


async def test_other_refusals_say_what_they_are(w: RitualWorld) -> None:
    assert "unauthenticated: " in (await upload(w, "shadow_integration", *UPLOAD, "--token", "no", code=2)).stderr
    wrong = ("--name", " ", "--description", "Light.", "--intent", "to see", "--token", "alice")
    assert "invalid: " in (await upload(w, "shadow_integration", *wrong, code=2)).stderr
    assert "who uploads?" in (await upload(w, "shadow_integration", *UPLOAD, code=2)).stderr
    assert (
        "set SANGHA_PASSWORD" in (await upload(w, "shadow_integration", *UPLOAD, "--email", "a@b.org", code=2)).stderr
    )
    wrong_password = await upload(
        w, "shadow_integration", *UPLOAD, "--email", "a@b.org", code=2, env={"SANGHA_PASSWORD": "x"}
    )
    assert "unauthenticated: " in wrong_password.stderr


async def test_without_a_server_it_says_so(w: RitualWorld) -> None:
    port = str(httpx.URL(w.http).port)
    await w.gateway.stop()
    told = await asyncio.to_thread(
        sangha, "upload", "shadow_integration", *UPLOAD, "--token", "alice", "--port", port, code=2
    )
    assert f"no server answers on 127.0.0.1:{port}" in told.stderr


async def test_an_email_and_its_password_are_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w, httpx.AsyncClient(base_url=w.http) as http:
        account = {"email": "ana@example.org", "password": "correct horse battery"}
        answer = await http.post("/api/users/register", json=account)
        w.queries.names["practitioner.email", account["email"]] = answer.json()["practitioner"]["id"]
        monkeypatch.setenv("SANGHA_PASSWORD", account["password"])
        assert await asyncio.to_thread(log_in, w.http, account["email"])
        monkeypatch.setenv("SANGHA_PASSWORD", "wrong")
        with pytest.raises(UploadRefused, match="unauthenticated"):
            await asyncio.to_thread(log_in, w.http, account["email"])
