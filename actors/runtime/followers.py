"""What links ask of a shard's streams: who follows, from where, and what they missed.

The rule is subscribe first, then snapshot, then live, with no wait in between: a session becomes a follower in the very
turn in which its snapshot is taken or its replay reaches the head. What was missed comes from the cell's ring of recent
frames, else from the journal page by page; past ``REPLAY_EVENTS`` or ``REPLAY_BYTES`` a snapshot comes instead.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from actors.runtime import wire
from actors.runtime.cell import Cell, Entry, Outlet, Work, event_frame, history_json, snapshot_frame
from actors.runtime.entity import Attached, Detached, Subscriber
from actors.runtime.errors import SanghaError, StorageUnavailable
from actors.runtime.ports import Fenced, JournalRow, StoreDown, Unreadable
from actors.runtime.wire import Answer, Follow, Following, History, Page, Paged, Pushed, Refused, Resynced, Unfollow

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

log = logging.getLogger(__name__)

REPLAY_EVENTS: Final = 10_000
REPLAY_BYTES: Final = 4 * 2**20
"""Past either, reading a snapshot is cheaper for both ends than reading the gap."""
BEYOND: Final = 2**52
"""Added to the head: an offset that no stream has, which is answered with a snapshot."""
PAGE_EVENTS: Final = 1_000
PAGE_BYTES: Final = 256 * 1024
HISTORY_BYTES: Final = 256 * 1024
"""Of one answer, which says that there is more: several have room in a socket's outbox."""


class Followers:
    """Part of a shard; see the module."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._entities: dict[Outlet, set[str]] = {}

    def answer(self, entry: Entry) -> None:
        """Answer a link's question about a stream, at its place in the order."""
        what = entry.work.what
        if isinstance(what, tuple):
            link, message = what
            if isinstance(message, Follow):
                self._refollow(entry, link, message)
            elif isinstance(message, Unfollow):
                self._unfollow(entry.cell, link, message.session)
            return
        self._shard.waiting -= 1
        try:
            self._may_read(entry)
        except SanghaError as refusal:
            self._send(entry.work, Refused(entry.work.cid, refusal.code, refusal.message))
            return
        if isinstance(what, Page):
            self._page(entry, what)
        else:
            self._shard.spawn(self._history(entry, what))

    def join(self, entry: Entry) -> None:
        """The caller of a command that subscribes follows from here on."""
        cell, work, caller = entry.cell, entry.work, entry.work.caller
        if work.peer not in self._entities or caller is None or caller.session is None:
            return  # no session that could follow, or its link is gone: the gateway follows anew when it is back
        assert work.peer is not None
        subscriber = Subscriber(caller.session, caller.practitioner, caller.name)
        self._add(cell, work.peer, [subscriber])
        snapshot = self._snapshot(entry) if work.snapshot else None
        work.peer.send(Following(cell.id, caller.session, entry.offset, snapshot))
        self._attached(cell, work.peer, [subscriber])

    def greet(self, entry: Entry) -> None:
        """The full presence (or what the kind greets with) for sessions that began to follow."""
        cell, shard, work = entry.cell, self._shard, entry.work
        context = shard.context(cell, shard.clock.now(), work)
        sessions: Sequence[Subscriber] = work.what.sessions
        for push in shard.kind.greeting(entry.state, context):
            for link, following in cell.links.items():
                for subscriber in sessions:
                    if subscriber.session in following:
                        shard.push(cell, msgspec.structs.replace(push, to=subscriber.session), link)

    def opened(self, link: Outlet) -> None:
        """A link may ask from now on."""
        self._entities[link] = set()

    def forget(self, link: Outlet) -> None:
        """A link is gone: everyone who followed through it is detached."""
        for entity in self._entities.pop(link, set()):
            cell = self._shard.cells.get(entity)
            if cell is None:
                continue
            removed = [cell.remove_follower(link, session) for session in list(cell.links.get(link, ()))]
            gone = tuple(subscriber for subscriber in removed if subscriber is not None)
            if gone:
                self._shard.submit(Work(entity, Detached(sessions=gone)))

    def _add(self, cell: Cell, link: Outlet, subscribers: Sequence[Subscriber]) -> None:
        self._entities[link].add(cell.id)
        for subscriber in subscribers:
            cell.add_follower(link, subscriber)

    def _attached(self, cell: Cell, link: Outlet, subscribers: Sequence[Subscriber]) -> None:
        self._shard.submit(Work(cell.id, Attached(sessions=tuple(subscribers))))

    def _unfollow(self, cell: Cell, link: Outlet, session: str) -> None:
        subscriber = cell.remove_follower(link, session)
        if subscriber is not None:
            self._shard.submit(Work(cell.id, Detached(sessions=(subscriber,))))

    def _may_read(self, entry: Entry) -> None:
        shard = self._shard
        shard.kind.may_read(entry.state, shard.context(entry.cell, shard.clock.now(), entry.work))

    def _snapshot(self, entry: Entry) -> bytes:
        """The state as of the entry, which is committed by the time that this is called."""
        shard = self._shard
        context = shard.context(entry.cell, shard.clock.now(), entry.work)
        return snapshot_frame(entry.cell.stream, entry.offset, shard.kind.snapshot(entry.state, context))

    # -- catching up ----------------------------------------------------------------------------------------------

    def _page(self, entry: Entry, page: Page) -> None:
        cell = entry.cell
        if page.after > cell.head or cell.head - page.after > REPLAY_EVENTS:
            self._send(entry.work, Paged(page.cid, (), entry.offset, True, self._snapshot(entry)))
            return
        recent = cell.recent(page.after)
        if recent is None:
            self._shard.spawn(self._page_from_journal(entry, page))
            return
        frames: list[bytes] = []
        size = 0
        for _, frame in recent:
            if frames and size + len(frame) > page.max_bytes:
                break
            frames.append(frame)
            size += len(frame)
        through = recent[len(frames) - 1][0] if frames else cell.head
        self._send(entry.work, Paged(page.cid, frames, through, through == cell.head))

    async def _page_from_journal(self, entry: Entry, page: Page) -> None:
        cell = entry.cell
        try:
            rows = await self._rows(cell, page.after, PAGE_EVENTS, min(page.max_bytes, PAGE_BYTES))
        except (StoreDown, Fenced, Unreadable) as down:
            self._unavailable(entry, down)
            return
        frames = self._frames(cell, rows)
        through = page.after + len(frames)
        if not frames or (cell.head - through) * sum(map(len, frames)) / len(frames) > REPLAY_BYTES:
            # Taken through the mailbox once more, so that the snapshot stands at a place in the order.
            beyond = Page(page.cid, page.entity, cell.head + BEYOND, page.max_bytes, page.caller)
            self._shard.submit(Work(cell.id, beyond, peer=entry.work.peer, cid=page.cid, caller=page.caller))
            return
        await self._shard.confirmed()
        self._send(entry.work, Paged(page.cid, frames, through, through == cell.head))

    async def _history(self, entry: Entry, ask: History) -> None:
        cell, shard = entry.cell, self._shard
        try:
            rows = await shard.store.page(cell.id, ask.after, ask.limit, HISTORY_BYTES)
        except (StoreDown, Fenced, Unreadable) as down:
            self._unavailable(entry, down)
            return
        rows = [row for row in rows if (row.stream_offset or 0) <= cell.head]
        await shard.confirmed()
        events = []
        for row in rows:
            published = shard.kind.publish(shard.kind.decode_event(row.format, row.data))
            if published is not None and row.stream_offset is not None:
                events.append((row.stream_offset, row.at, shard.kind.shown(published, cell.state)))
        more = bool(events) and events[-1][0] < cell.head
        self._send(entry.work, Answer(ask.cid, history_json(events, more=more)))

    def must_read(self, cell: Cell, work: Work) -> bool:
        """Whether the journal has to be read for this work, before it is taken up. It keeps its place in the mailbox, so
        that nobody begins to follow through the same link, or is pushed to, ahead of what the link missed."""
        if not isinstance(work.what, tuple) or work.missed is not None:
            return False
        follow = work.what[1]
        if not isinstance(follow, Follow) or follow.after > cell.head or cell.head - follow.after > REPLAY_EVENTS:
            return False
        return cell.recent(follow.after) is None

    async def read(self, cell: Cell, work: Work) -> None:
        """What a link missed, page by page. Nothing where it is too much, not kept or out of reach: a snapshot then."""
        work.missed = await self._missed(cell, work.what[1].after)

    async def _missed(self, cell: Cell, after: int) -> list[tuple[int, bytes]]:
        missed: list[tuple[int, bytes]] = []
        size = 0
        while after < cell.head:
            try:
                rows = await self._rows(cell, after, PAGE_EVENTS, PAGE_BYTES)
            except (StoreDown, Unreadable):
                rows = []
            except Fenced as fenced:
                self._shard.fenced(fenced)
                rows = []
            frames = self._frames(cell, rows)
            size += sum(map(len, frames))
            if not rows or size > REPLAY_BYTES:
                return []
            missed += [(row.stream_offset or 0, frame) for row, frame in zip(rows, frames, strict=True)]
            after = missed[-1][0]
        return missed

    def _refollow(self, entry: Entry, link: Outlet, follow: Follow) -> None:
        """A gateway's link is back: what its sessions missed, then live, then the full presence."""
        if link not in self._entities:
            return
        cell, missed = entry.cell, entry.work.missed or []
        after = missed[-1][0] if missed else follow.after
        recent = cell.recent(after) if after <= cell.head else None
        snapshot = self._snapshot(entry) if recent is None else None
        for offset, frame in (*missed, *recent) if recent is not None else ():
            link.send(Pushed(cell.id, offset, frame))
        link.send(Resynced(cell.id, cell.head, snapshot))
        self._add(cell, link, follow.sessions)
        self._attached(cell, link, follow.sessions)

    async def _rows(self, cell: Cell, after: int, limit: int, max_bytes: int) -> Sequence[JournalRow]:
        """Journal rows up to what was released: storage may already have more than this process has said. None at all
        where the first that is due is no longer kept."""
        rows = await self._shard.store.page(cell.id, after, limit, max_bytes)
        if rows and rows[0].stream_offset != after + 1:
            return []
        return [row for row in rows if (row.stream_offset or 0) <= cell.head]

    def _frames(self, cell: Cell, rows: Sequence[JournalRow]) -> list[bytes]:
        kind = self._shard.kind
        frames = []
        for row in rows:
            published = kind.publish(kind.decode_event(row.format, row.data))
            assert published is not None
            assert row.stream_offset is not None
            shown = kind.shown(published, cell.state)
            frames.append(event_frame(cell.stream, row.stream_offset, row.at, shown))
        return frames

    def _send(self, work: Work, message: wire.ToClient) -> None:
        if work.peer is not None:
            work.peer.send(message)

    def _unavailable(self, entry: Entry, down: Exception) -> None:
        log.warning("a page could not be read: %s", down)
        work = entry.work
        if isinstance(down, Fenced):
            self._shard.fenced(down)
        refusal: SanghaError = StorageUnavailable("storage does not answer; try again")
        if isinstance(down, Unreadable):
            refusal = self._shard.internal(entry.cell, work, down)
        self._send(work, Refused(work.cid, refusal.code, refusal.message))
