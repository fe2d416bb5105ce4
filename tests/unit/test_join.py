from __future__ import annotations

import os
from typing import Any

import pytest

from server.client_events import Event, Sender
from server.join import Room, _read_lines, printable, shown

ANA, BO = {"id": "a", "name": "Ana"}, {"id": "b", "name": "Bo"}


def event(kind: str, *, offset: int | None = None, body: Any = None, **fields: Any) -> Event:
    sender = Sender(id="a", name="Ana")
    return Event(stream="space:s", event=kind, offset=offset, sender=sender, body=body, fields=fields)


@pytest.mark.parametrize(
    ("body", "line"), [({"text": "hi"}, "hi"), ("hi", "hi"), ([1, "ä"], '[1, "ä"]'), ({"text": 3}, '{"text": 3}')]
)
def test_a_body_is_one_line(body: Any, line: str) -> None:
    assert shown(body) == line


def test_what_others_say_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31m\nb\x07") == "a�[31m�b�"


def test_a_message_reads_with_its_offset_and_sender() -> None:
    assert Room().lines(event("message", offset=7, body={"text": "hi"})) == ["[7] Ana: hi"]


def test_presence_is_told_as_news_only() -> None:
    room = Room()
    assert room.lines(event("presence", joined=[ANA], left=[], full=True)) == ["* here: Ana"]
    assert room.lines(event("presence", joined=[ANA, BO], left=[])) == ["* Bo is here"]
    assert room.lines(event("presence", joined=[ANA, BO], left=[], full=True)) == []
    assert room.lines(event("presence", joined=[], left=[BO])) == ["* Bo is gone"]
    assert room.lines(event("presence", joined=[], left=[BO])) == []
    assert room.who() == "Ana"


def test_a_hole_in_the_history_is_said() -> None:
    assert Room().lines(event("snapshot", offset=90)) == ["* some of what was said is missing here"]


def test_lines_come_whole_whatever_the_reads_give() -> None:
    read, write = os.pipe()
    os.write(write, b"eins\nzw")
    os.write(write, b"ei\nohne Ende")
    os.close(write)
    lines: list[str | None] = []
    _read_lines(read, lines.append)
    os.close(read)
    assert lines == ["eins", "zwei", "ohne Ende", None]
