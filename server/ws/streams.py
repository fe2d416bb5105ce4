"""Who follows which stream through this gateway: the fan-out table of one kind.

A session that follows is *live* (it has all up to the stream's head and gets every push) or *catching up* (it has all up
to a position of its own and is read pages at its own pace; live pushes are held for it as that position, not as bytes).

Always: a live session's client has got exactly the numbered pushes 1 … head that it asked for, in order. A push at or
below the head is a repetition and is dropped. ``head`` is what a reconnecting link follows from.

Durable pushes of one turn of the loop leave together, joined once for all who are live: ``flush``. Whoever begins or ends to
follow in between does so after a flush, so that what came before is for those who followed before.

Rejected: comparing an offset for each session and push. Whether a session is live is decided once, when it follows.

Pure: it writes to outboxes and knows nothing of sockets or links.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.runtime.entity import DURABLE, LATEST, Address, Subscriber
from actors.runtime.wire import Dropped, Follow, Pushed, Resynced
from server.ws import protocol
from server.ws.outbox import LOW_BYTES, Outbox, deliver


def address_of(name: str) -> Address:
    """Of a stream, by its name. An entity's id may have colons in it, a kind's name has none."""
    kind, _, entity = name.partition(":")
    return Address(kind, entity)


class CatchUp:
    """One session behind the head. ``held`` are unnumbered pushes that must not overtake the replay."""

    __slots__ = ("after", "done", "held", "held_bytes", "outbox")

    def __init__(self, outbox: Outbox, after: int) -> None:
        self.outbox = outbox
        self.after = after
        self.done = False  # the pages reached the shard's head; the link's own replay to this gateway has not yet
        self.held: dict[str, bytes] = {}
        self.held_bytes = 0

    def hold(self, frame: bytes, lane: int, key: str, limit: int) -> None:
        """Keep an unnumbered push until the replay is through: the newest of a key, nothing lossy."""
        if lane == LATEST:
            slot = key
        elif lane == DURABLE:
            slot = f"\0{len(self.held)}"
        else:
            return
        self.held_bytes += len(frame) - len(self.held.pop(slot, b""))
        self.held[slot] = frame
        if self.held_bytes > limit:
            self.outbox.overflow()


class Stream:
    """One entity's stream as this gateway sees it."""

    __slots__ = ("catching", "entity", "head", "live", "table", "unsent", "unsent_bytes")

    def __init__(self, table: StreamTable, entity: str, head: int) -> None:
        self.table = table
        self.entity = entity
        self.head = head
        self.live: dict[str, Outbox] = {}
        self.catching: dict[str, CatchUp] | None = None
        self.unsent: list[bytes] = []
        self.unsent_bytes = 0

    @property
    def name(self) -> str:
        """As clients know it."""
        return f"{self.table.kind}:{self.entity}"

    def subscribers(self) -> list[Subscriber]:
        """Every session that follows."""
        outboxes = [*self.live.values(), *(each.outbox for each in (self.catching or {}).values())]
        return [outbox.owner.subscriber for outbox in outboxes]


class StreamTable:
    """The streams of one kind that sessions of this gateway follow."""

    __slots__ = ("_flush_soon", "_limit", "_unflushed", "kind", "pushed", "pushed_bytes", "streams")

    def __init__(self, kind: str, limit: int, flush_soon: Callable[[], None]) -> None:
        """``limit``: bytes that may wait for one socket. ``flush_soon`` has ``flush`` called at the end of the turn."""
        self.kind = kind
        self.streams: dict[str, Stream] = {}
        self.pushed = [0, 0, 0]
        """Pushes to live sessions, one for each, by lane. A lossy one may have been dropped, one of lane LATEST replaced."""
        self.pushed_bytes = 0
        self._limit = limit
        self._flush_soon = flush_soon
        self._unflushed: list[Stream] = []

    # --- following -------------------------------------------------------------------------------------------------

    def follow(self, entity: str, offset: int, outbox: Outbox, after: int | None = None) -> Stream:
        """The outbox's session follows and has all up to ``after`` (None: up to ``offset``, the shard's word).

        ``after`` other than ``offset`` makes it catch up; the caller then pages and says ``reached``.
        """
        stream = self.streams.get(entity)
        if stream is None:
            stream = self.streams[entity] = Stream(self, entity, offset)
        self._flush(stream)
        stream.head = max(stream.head, offset)
        session = outbox.owner.session
        if after is None or after == offset:
            if stream.catching is not None:
                stream.catching.pop(session, None)
            stream.live[session] = outbox
        else:
            stream.live.pop(session, None)
            if stream.catching is None:
                stream.catching = {}
            stream.catching[session] = CatchUp(outbox, after)
        return stream

    def reached(self, stream: Stream, session: str, through: int, *, done: bool) -> bool:
        """A catching session has all up to ``through``; ``done`` says that this was the shard's head. True: it is live.

        Not done is also where the head has moved on (page again), or where the link is still replaying to this gateway
        what the pages brought already: then it turns live with the push of offset ``through``.
        """
        catch = (stream.catching or {}).get(session)
        if catch is None:
            return session in stream.live
        catch.after = through
        catch.done = done and through > stream.head
        if done and through == stream.head:
            self._go_live(stream, session, catch)
            return True
        return False

    def catch_up(self, stream: Stream, session: str) -> CatchUp | None:
        """The session's position, where it still has to page."""
        catch = (stream.catching or {}).get(session)
        return catch if catch is not None and not catch.done else None

    def _go_live(self, stream: Stream, session: str, catch: CatchUp) -> None:
        assert stream.catching is not None
        self._flush(stream)
        del stream.catching[session]
        stream.live[session] = catch.outbox
        for frame in catch.held.values():
            catch.outbox.put(frame)

    def remove(self, stream: Stream, outbox: Outbox) -> None:
        """The outbox's session no longer follows. One that another socket took over since stays."""
        session = outbox.owner.session
        if stream.live.get(session) is outbox:
            del stream.live[session]
        if stream.catching is not None and session in stream.catching and stream.catching[session].outbox is outbox:
            del stream.catching[session]
        self._forget_if_alone(stream)

    def _forget_if_alone(self, stream: Stream) -> None:
        if not stream.live and not stream.catching and self.streams.get(stream.entity) is stream:
            del self.streams[stream.entity]

    # --- what the link brings --------------------------------------------------------------------------------------

    def push(self, pushed: Pushed) -> None:
        """One push: to everyone who is live, or to one session."""
        stream = self.streams.get(pushed.entity)
        if stream is None:
            return
        offset = pushed.offset
        if offset:
            if offset <= stream.head:
                return
            stream.head = offset
        frame = protocol.text_frame(pushed.frame)
        if pushed.to is not None:
            self._push_to(stream, pushed, frame)
        elif pushed.lane == DURABLE:
            self._gather(stream, frame)
        else:
            self._flush(stream)
            key = f"{self.kind}:{pushed.entity} {pushed.key}"
            self._count(pushed.lane, 1, len(frame), len(stream.live))
            for outbox in stream.live.values():
                outbox.put(frame, pushed.lane, key)
        if stream.catching:
            self._push_behind(stream, pushed, frame)

    def _gather(self, stream: Stream, frame: bytes) -> None:
        if not stream.live:
            return
        if not stream.unsent:
            if not self._unflushed:
                self._flush_soon()
            self._unflushed.append(stream)
        stream.unsent.append(frame)
        stream.unsent_bytes += len(frame)
        if stream.unsent_bytes > LOW_BYTES:  # no turn may fill an outbox by itself
            self._flush(stream)

    def flush(self) -> None:
        """The turn is over: everything that was gathered leaves."""
        unflushed, self._unflushed = self._unflushed, []
        for stream in unflushed:
            self._flush(stream)

    def _flush(self, stream: Stream) -> None:
        frames = stream.unsent
        if frames:
            self._count(DURABLE, len(frames), stream.unsent_bytes, len(stream.live))
            stream.unsent, stream.unsent_bytes = [], 0
            deliver(stream.live.values(), frames[0] if len(frames) == 1 else b"".join(frames), self._limit)

    def _count(self, lane: int, frames: int, size: int, sockets: int) -> None:
        self.pushed[lane] += frames * sockets
        self.pushed_bytes += size * sockets

    def _push_to(self, stream: Stream, pushed: Pushed, frame: bytes) -> None:
        self._flush(stream)
        outbox = stream.live.get(pushed.to or "")
        if outbox is not None:
            self._count(pushed.lane, 1, len(frame), 1)
            outbox.put(frame, pushed.lane, f"{self.kind}:{pushed.entity} {pushed.key}")

    def _push_behind(self, stream: Stream, pushed: Pushed, frame: bytes) -> None:
        """What the catching sessions make of a push: a numbered one they will page, an unnumbered one is held."""
        for session, catch in list((stream.catching or {}).items()):
            if not pushed.offset:
                if pushed.to in (None, session):
                    catch.hold(frame, pushed.lane, pushed.key, self._limit)
            elif catch.done and catch.after == pushed.offset:
                self._go_live(stream, session, catch)

    def resynced(self, message: Resynced) -> list[Outbox]:
        """The link is back and has said what was missed, or gives a snapshot instead. Returns who must page on."""
        stream = self.streams.get(message.entity)
        if stream is None:
            return []
        self._flush(stream)
        stream.head = max(stream.head, message.offset)
        if message.snapshot is not None:
            # The newest word wins, also where the shard's offset lies below ours (it cannot, but for a restored database).
            stream.head = message.offset
            frame = protocol.text_frame(protocol.snapshot(message.snapshot, "gap"))
            deliver(stream.live.values(), frame, self._limit)
        again = []
        for session, catch in list((stream.catching or {}).items()):
            if catch.done and catch.after == stream.head:
                self._go_live(stream, session, catch)
            elif catch.done:
                catch.done = False
                again.append(catch.outbox)
        return again

    def dropped(self, message: Dropped) -> list[tuple[Outbox, bool]]:
        """Sessions no longer follow. Returns their outboxes, and whether each was still catching up."""
        stream = self.streams.get(message.entity)
        if stream is None:
            return []
        self._flush(stream)
        gone = [(outbox, False) for outbox in stream.live.values() if _is_of(outbox, message.practitioner)]
        gone += [
            (each.outbox, True)
            for each in (stream.catching or {}).values()
            if _is_of(each.outbox, message.practitioner)
        ]
        for outbox, _ in gone:
            self.remove(stream, outbox)
        return gone

    def follows(self) -> list[Follow]:
        """What a reconnected link has to ask for."""
        return [Follow(stream.entity, stream.head, stream.subscribers()) for stream in self.streams.values()]


def _is_of(outbox: Outbox, practitioner: str | None) -> bool:
    return practitioner is None or outbox.owner.subscriber.practitioner == practitioner
