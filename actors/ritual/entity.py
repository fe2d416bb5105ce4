"""The ritual as an entity: its catalog entry, its module, how often it ran and what practitioners think of it.

Who may see it: its author, and anyone while it is public; it is not there for the rest. Once withdrawn it is there for its
author's eyes only (the module stays, for whoever replays a run of it). A command without a caller is the server's own: a
sandbox that needs the module, or a practitioner's effect; only there come uses and ratings from. Nobody follows the stream
of a ritual, so nothing is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from msgspec import UNSET, structs

from actors.ritual import commands as c
from actors.ritual import events as e
from actors.ritual.state import RitualState, codec, evolve, given
from actors.ritual.values import Brief
from actors.runtime.codec import Kept, invalid
from actors.runtime.entity import (
    NOTHING_OWED,
    SIGNALS,
    Agenda,
    Caller,
    Context,
    Decision,
    Published,
    Push,
    Row,
    Upsert,
)
from actors.runtime.errors import Conflict, Forbidden, NotFound

TABLE: Final = "sacred_rituals"


class RitualKind(Kept):
    """The kind ``ritual``."""

    kind: ClassVar[str] = "ritual"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = False

    def __init__(self) -> None:
        self._decide: Final[Mapping[type, Callable[[RitualState, Any, Context], Decision]]] = {
            c.Upload: _upload,
            c.Edit: _edit,
            c.Withdraw: _withdraw,
            c.Orphan: _orphan,
            c.GetDetails: _get_details,
            c.GetBrief: _get_brief,
            c.GetModule: _get_module,
            c.RecordUse: _record_use,
            c.Rate: _rate,
        }

    def initial(self, entity_id: str) -> RitualState:
        """None yet."""
        return RitualState(id=entity_id)

    def decode_command(self, data: bytes) -> c.RitualCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def decide(self, state: RitualState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, SIGNALS):
            return Decision()  # no alarm, no effect and nobody's presence is a ritual's business
        if state.created_at is None and type(command) is not c.Upload:
            raise _not_there()
        return self._decide[type(command)](state, command, context)

    def evolve(self, state: RitualState, event: e.RitualEvent, at: datetime) -> RitualState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.RitualEvent, state: RitualState, at: datetime) -> Iterable[Row]:
        """What changed of the row of ``sacred_rituals``; the module is written once."""
        match event:
            case e.Uploaded():
                changed = _whole_row(state)
            case e.Edited():
                changed = given(event) | {"updated_at": at}
            case e.Withdrawn():
                changed = {"withdrawn_at": at, "updated_at": at}
            case e.Used():
                changed = {"usage_count": state.usage_count}
            case e.Rated():
                changed = {"effectiveness_rating": state.ratings.mean, "rating_count": state.ratings.count}
        return (Upsert(table=TABLE, values={"id": state.id, **changed}),)

    def agenda(self, state: RitualState) -> Agenda:
        """Nothing."""
        return NOTHING_OWED

    def publish(self, event: e.RitualEvent) -> Published | None:
        """Nothing: nobody follows."""
        return None

    def snapshot(self, state: RitualState, context: Context) -> dict[str, Any]:
        """The details."""
        return details(state)

    def greeting(self, state: RitualState, context: Context) -> Sequence[Push]:
        """Nothing."""
        return ()

    def may_read(self, state: RitualState, context: Context) -> None:
        """Nobody. Raises Forbidden."""
        raise Forbidden("a ritual has no stream to read")


def details(state: RitualState) -> dict[str, Any]:
    """All that may be said of a ritual, but for its module."""
    return {
        "id": state.id,
        **structs.asdict(state.about),
        "module_language": state.module_language,
        "wasm_module_hash": state.module_hash,
        "module_bytes": len(state.module),
        "abi": state.abi,
        "author_id": state.author,
        "builtin": state.author is None,
        "usage_count": state.usage_count,
        "effectiveness_rating": float(state.ratings.mean),
        "rating_count": state.ratings.count,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "withdrawn_at": state.withdrawn_at,
    }


def _whole_row(state: RitualState) -> dict[str, Any]:
    return details(state) | {"effectiveness_rating": state.ratings.mean, "wasm_module_data": state.module}


# Who may


def _not_there() -> NotFound:
    return NotFound("there is no such ritual")


def _is_author(state: RitualState, caller: Caller | None) -> bool:
    """Sangha itself is the author of the built-in ones."""
    return state.author == (caller.practitioner if caller is not None else None)


def _visible(state: RitualState, context: Context) -> None:
    """Raises NotFound where the caller may not know of it."""
    trusted = context.caller is None or _is_author(state, context.caller)
    if not trusted and (state.withdrawn_at is not None or not state.about.is_public):
        raise _not_there()


def _runnable(state: RitualState, context: Context) -> None:
    """Raises NotFound where it is withdrawn, for whomever, or the caller may not know of it."""
    _visible(state, context)
    if state.withdrawn_at is not None:
        raise _not_there()


def _authors(state: RitualState, context: Context) -> None:
    """Raises NotFound, Forbidden where another asks."""
    _visible(state, context)
    if not _is_author(state, context.caller):
        raise Forbidden("only its author may change a ritual")


def _internal(context: Context) -> None:
    if context.caller is not None:
        raise Forbidden("this comes from practitioners as their effect, never from a person")


# Commands


def _upload(state: RitualState, command: c.Upload, context: Context) -> Decision:
    if context.caller is not None and context.caller.guest:
        raise Forbidden("guests upload no rituals")
    if state.created_at is not None:
        return _again(state, command, context)
    if hashlib.sha256(command.module).hexdigest() != command.module_hash:
        raise invalid("module_hash", "is not the SHA-256 of the module")
    uploaded = e.Uploaded(
        author=None if context.caller is None else context.caller.practitioner,
        about=_about(command),
        module_language=command.module_language,
        module=command.module,
        module_hash=command.module_hash,
        abi=command.abi,
    )
    return Decision(events=(uploaded,), reply=details(evolve(state, uploaded, context.now)))


def _about(command: c.Upload) -> e.About:
    return e.About(**{name: getattr(command, name) for name in e.About.__struct_fields__})


def _again(state: RitualState, command: c.Upload, context: Context) -> Decision:
    """A built-in ritual may be uploaded again: the same module is the same ritual, of which other things may be said."""
    if context.caller is not None or state.author is not None:
        raise Conflict("the ritual exists already")
    if command.module_hash != state.module_hash:
        raise Conflict("a ritual's module never changes; another one is another ritual")
    return _say(state, structs.asdict(_about(command)), context)


def _edit(state: RitualState, command: c.Edit, context: Context) -> Decision:
    _authors(state, context)
    if state.withdrawn_at is not None:
        raise Conflict("the ritual is withdrawn")
    fields = {name: value for name, value in structs.asdict(command).items() if value is not UNSET}
    return _say(state, fields, context)


def _say(state: RitualState, about: Mapping[str, Any], context: Context) -> Decision:
    """The edit that what is to be said makes; none where it is said already."""
    changed = {name: value for name, value in about.items() if value != getattr(state.about, name)}
    if not changed:
        return Decision(reply=details(state))
    edited = e.Edited(**changed)
    return Decision(events=(edited,), reply=details(evolve(state, edited, context.now)))


def _withdraw(state: RitualState, command: c.Withdraw, context: Context) -> Decision:
    _authors(state, context)
    if state.withdrawn_at is not None:
        return Decision(reply=details(state))
    withdrawn = e.Withdrawn()
    return Decision(events=(withdrawn,), reply=details(evolve(state, withdrawn, context.now)))


def _orphan(state: RitualState, command: c.Orphan, context: Context) -> Decision:
    _internal(context)
    if state.withdrawn_at is not None or state.about.is_public:
        return Decision(reply={})
    return Decision(events=(e.Withdrawn(),), reply={})


def _get_details(state: RitualState, command: c.GetDetails, context: Context) -> Decision:
    _visible(state, context)
    return Decision(reply=details(state))


def _get_brief(state: RitualState, command: c.GetBrief, context: Context) -> Decision:
    _runnable(state, context)
    brief = Brief(
        id=state.id,
        name=state.about.name,
        module_hash=state.module_hash,
        required_archetypes=state.about.required_archetypes,
        energy_requirements=state.about.energy_requirements,
    )
    return Decision(reply=brief)


def _get_module(state: RitualState, command: c.GetModule, context: Context) -> Decision:
    if context.caller is not None:
        _runnable(state, context)
    withdrawn = state.withdrawn_at is not None
    return Decision(reply={"module_hash": state.module_hash, "module": state.module, "withdrawn": withdrawn})


def _record_use(state: RitualState, command: c.RecordUse, context: Context) -> Decision:
    _internal(context)
    return Decision(events=(e.Used(run=command.run),), reply={})


def _rate(state: RitualState, command: c.Rate, context: Context) -> Decision:
    _internal(context)
    if not state.ratings.is_news(command.practitioner, command.version):
        return Decision(reply={})
    rated = e.Rated(practitioner=command.practitioner, rating=command.rating, version=command.version)
    return Decision(events=(rated,), reply={})
