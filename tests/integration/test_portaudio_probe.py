"""The process that asks for devices: whatever becomes of it, the one who asks goes on soon and nothing is left."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from harness import runs, until

from actors.audio import portaudio
from actors.audio.portaudio import NoSound, probe

HANGS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
"""As a sound system's library that starts its server, and both hang; the server has the pipe of the answer too."""


async def test_one_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "pids"
    monkeypatch.setattr(portaudio, "PROBE", (sys.executable, "-c", HANGS, str(note)))
    began = time.monotonic()
    with pytest.raises(NoSound, match="does not answer within 2 s"):
        await probe(2.0)
    assert time.monotonic() - began < 10
    pids = [int(pid) for pid in note.read_text().split()]
    assert len(pids) == 2
    await until(lambda: not any(runs(pid) for pid in pids), "the end of both")


async def test_one_whose_asker_gives_up_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pids"
    monkeypatch.setattr(portaudio, "PROBE", (sys.executable, "-c", HANGS, str(note)))
    asking = asyncio.create_task(probe(60.0))
    await until(lambda: note.exists() and len(note.read_text().split()) == 2, "both run")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    pids = [int(pid) for pid in note.read_text().split()]
    await until(lambda: not any(runs(pid) for pid in pids), "the end of both")


async def test_one_whose_asker_gives_up_while_it_starts_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "pids"
    monkeypatch.setattr(portaudio, "PROBE", (sys.executable, "-c", HANGS, str(note)))
    start = asyncio.create_subprocess_exec

    async def slowly(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*args, **options)
        await until(lambda: note.exists() and len(note.read_text().split()) == 2, "both run")
        asking.cancel()
        await asyncio.sleep(0)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    asking = asyncio.create_task(probe(60.0))
    with pytest.raises(asyncio.CancelledError):
        await asking
    pids = [int(pid) for pid in note.read_text().split()]
    await until(lambda: not any(runs(pid) for pid in pids), "the end of both")


@pytest.mark.parametrize("command", [("/nowhere/python",), (os.devnull,)])
async def test_a_process_that_cannot_be_started_is_no_sound(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portaudio, "PROBE", command)
    with pytest.raises(NoSound, match="no process can be started"):
        await probe()


async def test_one_that_dies_or_talks_nonsense_is_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "PROBE", (sys.executable, "-c", "import os; print('ALSA'); os.abort()"))
    with pytest.raises(NoSound, match="ended the process"):
        await probe()
