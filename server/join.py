"""``sangha join SPACE``: a small chat in the terminal. A line is a message; ``/who`` lists who is here, ``/quit`` leaves."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from ssl import SSLContext
from typing import IO, Any, Final

from actors.runtime.errors import SanghaError
from server.client import Client, Stream
from server.client_events import Event

READ_BYTES: Final = 65_536
GIVE_UP_FIRST_S: Final = 10.0


def printable(text: str) -> str:
    """Text of others without control characters: it must not steer this terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def shown(body: Any) -> str:
    """A message's body as one line: its text, or else its JSON."""
    text = body.get("text") if isinstance(body, dict) else body
    return printable(text if isinstance(text, str) else json.dumps(body, ensure_ascii=False))


class Room:
    """Who is here, kept from presence, and how each event reads."""

    def __init__(self) -> None:
        self.present: dict[str, str] = {}

    def lines(self, event: Event) -> list[str]:
        """The lines that an event prints; none for what is no news to a reader."""
        if event.event == "presence":
            return self._presence(event)
        who = "someone" if event.sender is None else printable(event.sender.name or "someone")
        if event.event == "message":
            return [f"[{event.offset}] {who}: {shown(event.body)}"]
        if event.event == "closed":
            return ["* the space was closed"]
        return ["* some of what was said is missing here"] if event.event == "snapshot" else []

    def _presence(self, event: Event) -> list[str]:
        came = {p["id"]: printable(p.get("name") or "someone") for p in event.fields.get("joined", ())}
        if event.fields.get("full"):
            came, before = {}, came
            first, self.present = not self.present, before
            return [f"* here: {self.who()}"] if first else []
        news = [f"* {name} is here" for who, name in came.items() if who not in self.present]
        self.present |= came
        gone = [self.present.pop(p["id"], None) for p in event.fields.get("left", ())]
        return news + [f"* {name} is gone" for name in gone if name is not None]

    def who(self) -> str:
        """The names of who is here."""
        return ", ".join(sorted(self.present.values())) or "nobody"


def _read_lines(fd: int, put: Callable[[str | None], None]) -> None:
    """Lines of a file descriptor, then None. Reads it plainly: a buffered reader's lock would hang the exit."""
    rest = b""
    while chunk := os.read(fd, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            put(line.decode(errors="replace"))
    if rest:
        put(rest.decode(errors="replace"))
    put(None)


def _lines_of(source: IO[str]) -> asyncio.Queue[str | None]:
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def put(line: str | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, line)

    threading.Thread(target=_read_lines, args=(source.fileno(), put), daemon=True).start()
    return queue


async def _listen(stream: Stream, room: Room, write: Callable[[str], None]) -> None:
    async for event in stream:
        for line in room.lines(event):
            write(line)
        if event.event == "closed":
            return


async def _talk(stream: Stream, room: Room, source: IO[str], write: Callable[[str], None]) -> None:
    queue = _lines_of(source)
    while (line := await queue.get()) is not None and line.strip() != "/quit":
        if line.strip() == "/who":
            write(f"* here: {room.who()}")
        elif line.strip():
            try:
                await stream.send({"text": line.rstrip("\r")})
            except SanghaError as refusal:
                if stream.ended:
                    raise
                write(f"* not sent: {refusal}")


async def run_join(
    url: str,
    space: str,
    name: str,
    token: str | None = None,
    *,
    ssl: SSLContext | None = None,
    source: IO[str] | None = None,
    write: Callable[[str], None] | None = None,
) -> None:
    """Chat in a space (UUID or slug) as a guest called ``name``, or with a login's ``token``, until end of input or /quit.

    ``source`` is read by its file descriptor (default standard input); ``write`` gets each line to show (default: printed);
    ``ssl`` is for wss.
    Raises the SanghaError that ended it: no such space, full, the server went and did not come back.
    """
    out = write or (lambda line: print(line, file=sys.stdout, flush=True))  # noqa: T201 - this is the program's output

    def say_state(state: str) -> None:
        if state == "reconnecting":
            out("* the connection is gone; reconnecting")

    guest = name if token is None else None
    options: dict[str, Any] = {"give_up_after_s": GIVE_UP_FIRST_S, "on_state": say_state, "ssl": ssl}
    async with Client(url, guest=guest, token=token, **options) as client:
        client.give_up_after(None)  # once inside, a server that restarts is waited for
        async with client.join(space) as stream:
            room = Room()
            out(f"* in {shown((stream.state or {}).get('name', space))}; /who, /quit")
            tasks = [
                asyncio.ensure_future(_listen(stream, room, out)),
                asyncio.ensure_future(_talk(stream, room, source or sys.stdin, out)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
