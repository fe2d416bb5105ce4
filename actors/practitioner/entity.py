"""The practitioner as an entity: account, archetypal state, runs of rituals, reflections. Each has a module of its own.

Only the practitioner changes what is theirs: a command with another caller is refused, one without a caller is the
gateway's own (or a space's effect). Whoever is not registered is not there. No secret (password hash, token hash) is ever
in a push, a snapshot or a profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from msgspec import structs

from actors.practitioner import account, current_state, leaving, owed, pushes, reflection, runs
from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.account import SESSIONS_MAX, display_name, profile_object
from actors.practitioner.rows import EMAIL_SCOPE, rows
from actors.practitioner.runs import PractitionerLimits
from actors.practitioner.state import PractitionerState, codec, evolve
from actors.ritual.values import Brief, run_id_of
from actors.runtime.codec import Kept
from actors.runtime.entity import (
    SIGNALS,
    Agenda,
    AlarmFired,
    Context,
    Decision,
    EffectDone,
    Published,
    Push,
    Row,
    Tick,
)
from actors.runtime.errors import Forbidden, NotFound

__all__ = ["SESSIONS_MAX", "PractitionerKind", "PractitionerLimits", "display_name", "profile_object"]

NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

Decide = Callable[[PractitionerState, Any, Context], Decision]


class PractitionerKind(Kept):
    """The kind ``practitioner``."""

    kind: ClassVar[str] = "practitioner"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = True

    def __init__(self, limits: PractitionerLimits | None = None) -> None:
        self.limits: Final = limits or PractitionerLimits()
        self._decide: Final[Mapping[type, Decide]] = {
            c.Register: account.register,
            c.OpenSession: account.open_session,
            c.CloseSession: account.close_session,
            c.ChangePassword: account.change_password,
            c.GetAccount: account.get_account,
            c.GetProfile: account.get_profile,
            c.UpdateProfile: account.update_profile,
            c.Enter: account.enter,
            c.DeleteAccount: leaving.delete_account,
            c.AwaitErasure: leaving.await_erasure,
            c.NotifyInvitation: account.notify_invitation,
            c.GetState: current_state.get_state,
            c.PutArchetypalState: current_state.put_archetypal_state,
            c.TransformState: current_state.transform_state,
            c.RunRitual: self._run_ritual,
            c.AwaitRun: runs.await_run,
            c.RunInGroup: self._run_in_group,
            c.AwaitContribution: runs.await_contribution,
            c.SettleGroup: runs.settle_group,
            c.AnnotateRun: runs.annotate_run,
            c.Reflect: reflection.reflect,
            c.AwaitReflection: reflection.await_reflection,
        }

    def initial(self, entity_id: str) -> PractitionerState:
        """Nobody yet."""
        return PractitionerState(id=entity_id)

    def decode_command(self, data: bytes) -> c.PractitionerCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def subscribes(self, command: Any) -> bool:
        """Entering follows the stream."""
        return type(command) is c.Enter

    def request(self, command: Any, data: bytes) -> bytes:
        """All but what the gateway looked up (of a ritual's brief and of the run to reflect on, the id alone) or took from
        its clock (a login's end), and an inviter's name, who may be deleted before the invitation is told again."""
        match command:
            case c.NotifyInvitation():
                return c.encode(structs.replace(command, by_name=None))
            case c.RunRitual() | c.RunInGroup():
                named = isinstance(command, c.RunRitual) and command.ritual
                brief = Brief(id="" if named else command.brief.id, name="", module_hash="")
                return c.encode(structs.replace(command, brief=brief))
            case c.DeleteAccount():
                return b"delete"
            case c.OpenSession():
                return c.encode(structs.replace(command, expires_at=NO_TIME))
            case c.AnnotateRun(newest=True):
                return c.encode(structs.replace(command, run=command.ritual))
            case c.Reflect(run=run):
                return b"reflect" if run is None else f"reflect {run.id}".encode()
            case _:
                return data

    def awaits(self, command: Any, operation: str | None, entity_id: str) -> Any | None:
        """A run's end, a contribution, an insight."""
        match command:
            case c.RunRitual() if operation is not None:
                return c.AwaitRun(run=run_id_of(operation))
            case c.RunInGroup(group=group):
                return c.AwaitContribution(group=group)
            case c.DeleteAccount():
                return c.AwaitErasure()
            case c.Reflect() if operation is not None:
                return c.AwaitReflection(id=reflection.reflection_id_of(operation))
            case _:
                return None

    def claims(self, command: Any) -> Sequence[tuple[str, str]]:
        """The email of a new account. Raises Invalid where it is none."""
        return ((EMAIL_SCOPE, c.normal_email(command.email)),) if type(command) is c.Register else ()

    def decide(self, state: PractitionerState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, SIGNALS):
            return self._signal(state, command, context)
        if state.leaving is not None:
            return leaving.while_leaving(state, command, context)
        if state.created_at is None and type(command) not in (c.Register, c.AwaitErasure):
            raise NotFound("there is no such practitioner")
        return self._decide[type(command)](state, command, context)

    def _run_ritual(self, state: PractitionerState, command: c.RunRitual, context: Context) -> Decision:
        return runs.run_ritual(state, command, context, self.limits)

    def _run_in_group(self, state: PractitionerState, command: c.RunInGroup, context: Context) -> Decision:
        return runs.run_in_group(state, command, context, self.limits)

    def _signal(self, state: PractitionerState, signal: Any, context: Context) -> Decision:
        """Answers to effects and alarms; nobody's presence is a practitioner's business."""
        match signal:
            case EffectDone(id=id_) if id_.startswith("run-"):
                return runs.ended(state, signal, context, self.limits)
            case EffectDone(id=id_) if id_.startswith("farewell-"):
                return leaving.settled(state, id_, context)
            case EffectDone(id=id_):
                answered = reflection.answered if id_.startswith("consult-") else runs.settled
                return answered(state, signal, context)
            case Tick() | AlarmFired(name=leaving.ERASE):
                return leaving.go_on(state, context)
            case AlarmFired(name=runs.DEADLINE):
                return runs.overdue(state, signal, context, self.limits)
            case AlarmFired(name=reflection.DEADLINE):
                return reflection.overdue(state, signal, context)
            case _:
                return Decision()

    def evolve(self, state: PractitionerState, event: e.PractitionerEvent, at: datetime) -> PractitionerState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.PractitionerEvent, state: PractitionerState, at: datetime) -> Iterable[Row]:
        """Of ``practitioners``, ``auth_sessions``, ``archetypal_states``, ``ritual_sessions``, ``oracle_insights``."""
        return rows(event, state, at)

    def agenda(self, state: PractitionerState) -> Agenda:
        """The open run and reflection, uses and ratings of which their rituals do not know yet."""
        return owed.agenda(state)

    def publish(self, event: e.PractitionerEvent) -> Published | None:
        """The numbered push of an event."""
        return pushes.publish(event)

    def snapshot(self, state: PractitionerState, context: Context) -> dict[str, Any]:
        """The profile."""
        return profile_object(state)

    def greeting(self, state: PractitionerState, context: Context) -> Sequence[Push]:
        """Nothing: nobody is present in a practitioner's own stream."""
        return ()

    def may_read(self, state: PractitionerState, context: Context) -> None:
        """The practitioner alone. Raises NotFound, Forbidden."""
        if state.created_at is None or state.leaving is not None:
            raise NotFound("there is no such practitioner")
        if context.caller is None or context.caller.practitioner != state.id:
            raise Forbidden("this stream is another practitioner's")
