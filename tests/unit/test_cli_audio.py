"""``sangha render`` and its bench: files, notes, one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from server import cli
from server.bench import render as bench


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["render", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus"])
def test_a_sound_is_rendered_into_a_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out.{suffix}"
    code, said = run(str(file), "--duration", "0.5", "--frequency", "7.83", "--frequency", "432")
    assert code == 0, said
    assert "7.83 Hz is below 20 Hz" in said
    assert soundfile.info(file).duration == pytest.approx(0.5, abs=0.021)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["a.mp3"], "sangha: 'a.mp3' has none of the suffixes .wav, .flac, .ogg, .opus"),
        (["a.wav", "--frequency", "0"], "sangha: --frequency: Expected a number > 0.0"),
        (["a.wav", "--frequency", "nan"], "sangha: --frequency: Expected a number > 0.0"),
        (["a.wav", "--duration", "31536000"], "sangha: --duration: Expected a number <= 86400.0"),
        (["a.wav", "--volume", "0.9"], "sangha: --volume: Expected a number <= 0.8"),
        (["a.wav", "--type", "noise"], "sangha: --type: Invalid enum value 'noise'"),
        (["no/such/a.wav"], "sangha: no/such/a.wav: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == (2, line + "\n")
    assert list(tmp_path.iterdir()) == []


def test_the_bench_compares_what_is_alike() -> None:
    figures = bench.run(seconds=2.0, rounds=1)
    assert figures["modes"] == 11
    assert figures["greatest_difference"] < 1e-7
    assert figures["times_real_time"] > 1
