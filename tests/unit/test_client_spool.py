"""The spool: numbered lines that outlive whoever wrote them, whatever tears them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.client_events import ClientError
from server.client_spool import Spool, SpoolDamaged, SpoolInUse, framed, unframed

ALL = {"most_bytes": 10**9, "most_lines": 10**6}


def line(number: int) -> bytes:
    return b'{"remove_entity":"%d"}' % number


def fill(spool: Spool, first: int, last: int) -> None:
    for number in range(first, last + 1):
        assert spool.append(line(number)) == number
        if spool.segment_full:
            spool.seal()


def segments(path: Path) -> list[str]:
    return sorted(file.name.lstrip("0") for file in path.glob("*.lines"))


def crashed(path: Path, to: Path) -> Path:
    """What a process that was killed leaves: the files, and no lock."""
    shutil.copytree(path, to)
    return to


def test_lines_are_read_as_they_were_written_once_they_are_on_the_disk(tmp_path: Path) -> None:
    with Spool(tmp_path, "s", segment_bytes=100) as spool:
        fill(spool, 1, 20)
        spool.append(line(21))
        before = spool.read(0, **ALL)
        assert line(21) not in before
        spool.sync()
        assert spool.read(0, **ALL) == [line(n) for n in range(1, 22)]
        assert spool.read(17, **ALL) == [line(n) for n in range(18, 22)]
        assert spool.read(21, **ALL) == []
        assert len(segments(tmp_path)) > 3


def test_a_read_has_no_more_than_was_asked_for_but_always_a_line(tmp_path: Path) -> None:
    with Spool(tmp_path, "s") as spool:
        fill(spool, 1, 9)
        spool.sync()
        got, after = list[bytes](), 0
        for room, lines in ((1, 99), (2 * len(line(1)) + 2, 99), (999, 3), (999, 99)):
            some = spool.read(after, most_bytes=room, most_lines=lines)
            after += len(some)
            got += [b"|", *some]
        assert [g for g in got if g != b"|"] == [line(n) for n in range(1, 10)]
        assert [n for n, g in enumerate(got) if g == b"|"] == [0, 2, 5, 9]


def test_numbers_go_on_after_everything_was_forgotten_and_it_was_closed(tmp_path: Path) -> None:
    with Spool(tmp_path, "s", segment_bytes=100) as spool:
        fill(spool, 1, 20)
        spool.sync()
        spool.forget(20)
        stream = spool.state.stream
        assert len(segments(tmp_path)) == 1
    with Spool(tmp_path, "s", segment_bytes=100) as spool:
        assert (spool.last, spool.state.stream) == (20, stream)
        fill(spool, 21, 22)
        spool.sync()
        assert spool.read(20, **ALL) == [line(21), line(22)]
        assert spool.first <= 21


def test_only_segments_that_are_safe_elsewhere_as_a_whole_are_deleted(tmp_path: Path) -> None:
    with Spool(tmp_path, "s", segment_bytes=100) as spool:
        fill(spool, 1, 20)
        spool.sync()
        held = spool.bytes
        spool.forget(0)
        assert spool.bytes == held
        spool.forget(10)
        assert 1 < spool.first <= 11
        assert spool.bytes == sum(file.stat().st_size for file in tmp_path.glob("*.lines")) < held
        assert spool.read(10, **ALL) == [line(n) for n in range(11, 21)]
        with pytest.raises(SpoolDamaged, match="gone"):
            spool.read(0, **ALL)


def test_a_spool_has_one_owner(tmp_path: Path) -> None:
    with Spool(tmp_path, "s"), pytest.raises(SpoolInUse, match=f"in use by process {os.getpid()}"):
        Spool(tmp_path, "s").open()
    Spool(tmp_path, "s").open().close()


def test_a_spool_is_of_one_space(tmp_path: Path) -> None:
    Spool(tmp_path, "s").open().close()
    with pytest.raises(ClientError, match="of the space 's', not of 't'"):
        Spool(tmp_path, "t").open()
    Spool(tmp_path, "s").open().close()  # the refused one did not keep the lock


@settings(max_examples=60)
@given(st.data())
def test_whatever_was_torn_off_the_end_the_lines_before_it_are_there_and_it_goes_on(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as home:
        with Spool(Path(home) / "a", "s", segment_bytes=100) as spool:
            count = data.draw(st.integers(0, 12))
            fill(spool, 1, count)
            left = crashed(Path(home) / "a", Path(home) / "b")
        last = max(left.glob("*.lines"))
        keep = data.draw(st.integers(0, last.stat().st_size))
        first, whole = int(last.stem), last.read_bytes()[:keep].count(b"\n")
        os.truncate(last, keep)
        garbage = data.draw(st.binary(max_size=20))
        with last.open("ab") as file:
            file.write(garbage)
        with Spool(left, "s", segment_bytes=100) as spool:
            assert spool.last == first + whole - 1
            fill(spool, spool.last + 1, spool.last + 3)
            spool.sync()
            assert spool.read(0, **ALL) == [line(n) for n in range(1, spool.last + 1)]


def test_whole_lines_behind_a_hole_are_kept_aside(tmp_path: Path) -> None:
    with Spool(tmp_path, "s") as spool:
        fill(spool, 1, 5)
    (file,) = tmp_path.glob("*.lines")
    at = 2 * len(framed(line(1)))
    content = bytearray(file.read_bytes())
    content[at : at + 10] = bytes(10)
    file.write_bytes(content)
    with Spool(tmp_path, "s") as spool:
        assert spool.last == 2
        assert spool.cut_bytes == len(content) - at
    (kept,) = tmp_path.glob("cut-3-*")
    assert kept.read_bytes() == content[at:]


@pytest.mark.parametrize("how", ["flip", "truncate"])
def test_damage_of_an_older_segment_is_said_and_not_sent(tmp_path: Path, how: str) -> None:
    with Spool(tmp_path, "s", segment_bytes=100) as spool:
        fill(spool, 1, 10)
    older = min(tmp_path.glob("*.lines"))
    content = bytearray(older.read_bytes())
    if how == "flip":
        content[len(framed(line(1))) + 12] ^= 1
    else:
        del content[len(framed(line(1))) :]
    older.write_bytes(content)
    with Spool(tmp_path, "s", segment_bytes=100) as spool:
        assert spool.read(0, most_bytes=1, most_lines=1) == [line(1)]
        with pytest.raises(SpoolDamaged, match="line 2"):
            spool.read(1, **ALL)


def test_a_full_disk_leaves_no_half_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Spool(tmp_path, "s") as spool:
        fill(spool, 1, 2)
        write, rooms = os.write, [7]

        def no_room(file: int, what: bytes) -> int:
            if not rooms:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, what[: rooms.pop()])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", no_room)
            with pytest.raises(OSError, match="No space"):
                spool.append(line(3))
        fill(spool, 3, 4)
        spool.sync()
        assert spool.read(0, **ALL) == [line(n) for n in range(1, 5)]


def test_what_was_set_aside_can_be_read_with_the_reason(tmp_path: Path) -> None:
    with Spool(tmp_path, "s") as spool:
        fill(spool, 1, 3)
        spool.sync()
        before = spool.state.stream
        spool.set_aside(2, ClientError("a cycle"))
        spool.restart(2)
        assert spool.state.stream != before
        assert spool.read(2, **ALL) == [line(3)]
        stream = spool.state.stream
    note = msgspec.json.decode((tmp_path / "refused.ndjson").read_bytes())
    assert note == {"number": 2, "code": "client", "message": "a cycle", "line": {"remove_entity": "2"}}
    with Spool(tmp_path, "s") as spool:
        assert (spool.state.stream, spool.state.offset) == (stream, 2)


def test_lines_without_the_name_of_their_stream_are_damage(tmp_path: Path) -> None:
    with Spool(tmp_path, "s") as spool:
        fill(spool, 1, 2)
    state = tmp_path / "stream.json"
    state.write_bytes(b'{"space":')
    with pytest.raises(SpoolDamaged, match=r"stream\.json"):
        Spool(tmp_path, "s").open()
    state.unlink()
    with pytest.raises(SpoolDamaged, match="missing"):
        Spool(tmp_path, "s").open()


@given(st.binary(max_size=40).filter(lambda text: b"\n" not in text), st.integers(0, 60))
def test_a_record_is_whole_or_none(text: bytes, cut: int) -> None:
    record = framed(text)
    assert unframed(record) == text
    assert unframed(record[: min(cut, len(record) - 1)]) is None
