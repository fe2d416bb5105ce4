"""``sangha verify`` and ``sangha rekey``: thin, as the other commands. On a stopped server's data, or beside a running one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.cli_common import DataDir, fail, read_settings
from server.settings import Settings

if TYPE_CHECKING:
    from storage.replay import Sandbox

DatabaseUrl = Annotated[str | None, typer.Option(help="The PostgreSQL, where it is not the embedded one.")]
NAMED_MAX: Final = 100
"""Rows named on a terminal; beyond, only their number. ``--json`` has all."""
UNSOUND: Final = 1


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(verify)
    app.command()(rekey)


def verify(
    practitioner: Annotated[str | None, typer.Option(help="Only this one's: an id.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Run every recorded ritual again, too.")] = False,
    session: Annotated[str | None, typer.Option(help="With --replay: only this run.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Check every practitioner's chain of states against its hashes and the journal; exit 1 where something does not fit."""
    if session is not None and not replay:
        raise fail("--session needs --replay")
    settings = read_settings(data_dir=data_dir, database_url=database_url)
    outcome: dict[str, Any] = {}
    with _database(settings) as dsn:
        if session is None:
            outcome["chains"] = _chains(settings, dsn, practitioner, say=not json)
        if replay:
            outcome["replay"] = _replays(settings, dsn, practitioner, session, say=not json)
    sound = not any(part["wrong"] for part in outcome.values())
    if json:
        print(orjson.dumps({"sound": sound, **outcome}, option=orjson.OPT_INDENT_2).decode())  # noqa: T201
    raise typer.Exit(0 if sound else UNSOUND)


def rekey(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Seal everything with SACRED_ENCRYPTION_KEY, also what SANGHA_OLD_ENCRYPTION_KEYS sealed or what is still plain.

    May be stopped and started again. Beside a running server: restart that with both keys first.
    """
    from server.host import sealer
    from storage import rekey as module

    settings = read_settings(data_dir=data_dir, database_url=database_url)
    key = sealer(settings)
    if key is None:
        raise fail(
            "SACRED_ENCRYPTION_KEY is the new key and has to be set; the old ones are SANGHA_OLD_ENCRYPTION_KEYS"
        )
    unopened = _Named(say=True)
    with _database(settings) as dsn, _bar("rewritten", total=False) as show:
        report = _run(
            module.rekey(
                dsn,
                sealer=key,
                kinds=_sealed_kinds(settings),
                found=lambda row: unopened.add(f"{row.table} {row.id}: {row.what}", row),
                progress=lambda table, rows: show(rows, None, table),
            )
        )
    unopened.rest()
    print(f"{report.rewritten} rows rewritten, {report.unopened} cannot be opened")  # noqa: T201
    if report.left:
        print(f"{report.left} rows were written with an older key meanwhile: has the server the new one?")  # noqa: T201
    raise typer.Exit(UNSOUND if report.unopened or report.left else 0)


def _chains(settings: Settings, dsn: str, practitioner: str | None, *, say: bool) -> dict[str, Any]:
    from server.host import sealer
    from storage import ledger

    wrong = _Named(say=say)

    def found(row: ledger.Misfit) -> None:
        where = "" if row.version is None else f", version {row.version}, id {row.id}"
        wrong.add(f"practitioner {row.practitioner}{where}: {row.what}", row)

    with _bar("states") as show:
        report = _run(ledger.verify(dsn, seal=sealer(settings), found=found, progress=show, practitioner=practitioner))
    wrong.rest()
    if say:
        end = f"{report.misfits} do not fit" if report.misfits else "every chain is whole"
        print(f"{report.practitioners} practitioners, {report.states} states: {end}")  # noqa: T201
        if report.leaving:
            print(f"{report.leaving} are being deleted, of which some is gone")  # noqa: T201
    return {"practitioners": report.practitioners, "states": report.states, "wrong": wrong.rows}


def _replays(
    settings: Settings, dsn: str, practitioner: str | None, session: str | None, *, say: bool
) -> dict[str, Any]:
    from server.host import sealer
    from storage import replay

    wrong = _Named(say=say)

    def found(run: replay.Difference) -> None:
        wrong.add(f"practitioner {run.practitioner}, run {run.session}: {run.what}", run)

    with _bar("runs") as show:
        report = _run(
            replay.replay(
                dsn,
                seal=sealer(settings),
                sandboxes=lambda fuel: _sandbox(settings, fuel),
                found=found,
                progress=show,
                practitioner=practitioner,
                session=session,
            )
        )
    wrong.rest()
    if say:
        end = f"{report.differences} differ" if report.differences else "the same again, bit for bit"
        print(f"{report.runs} runs replayed, {report.skipped} failed without their ritual: {end}")  # noqa: T201
    return {"runs": report.runs, "skipped": report.skipped, "wrong": wrong.rows}


def _sandbox(settings: Settings, fuel: int | None) -> Sandbox:
    from actors.ritual.sandbox import Sandbox
    from server.sandbox_limits import sandbox_limits

    return Sandbox(sandbox_limits(settings, fuel=fuel))


def _sealed_kinds(settings: Settings) -> list[str]:
    from server.hosts import kinds

    return [name for name, kind in kinds(settings).items() if kind.sealed]


class _Named:
    """What was found wrong: printed as it is found, up to a number of lines."""

    def __init__(self, *, say: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self._say = say
        self._more = 0

    def add(self, line: str, row: Any) -> None:
        if not self._say:
            self.rows.append({name: getattr(row, name) for name in row.__struct_fields__})
        elif len(self.rows) < NAMED_MAX:
            self.rows.append({})
            print(line)  # noqa: T201
        else:
            self._more += 1

    def rest(self) -> None:
        if self._more:
            print(f"… and {self._more} more")  # noqa: T201


@contextmanager
def _bar(what: str, *, total: bool = True) -> Iterator[Callable[..., None]]:
    """A progress bar where standard error is a terminal."""
    console = Console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    if total:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, of: int | None, name: str = "") -> None:
            bar.update(task, completed=done, total=of, description=f"{what} {name}".strip())

        yield show


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The DSN: as set, or of the embedded server, which is started for the time where no ``serve`` runs."""
    from storage.datadir import DataDirectory, DataDirectoryInUse
    from storage.embedded import EmbeddedPostgres, EmbeddedPostgresFailed

    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    data_dir = settings.data_dir.resolve()
    if not (data_dir / "postgres").exists():
        raise fail(f"there is no database in {data_dir} (--data-dir, --database-url)")
    postgres = EmbeddedPostgres(data_dir)
    owner = DataDirectory(data_dir)
    try:
        owner.acquire()
    except DataDirectoryInUse:
        yield postgres.dsn  # a serve runs it
        return
    with owner:
        try:
            postgres.start()
        except (EmbeddedPostgresFailed, OSError) as why:
            raise fail(str(why)) from None
        try:
            yield postgres.dsn
        finally:
            postgres.stop()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it; what cannot be done is one line. Ctrl-C ends it: nothing of it has to be undone."""
    from actors.runtime.ports import StoreDown
    from storage.pool import BadValue, UnusableDatabase

    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)  # noqa: T201
        raise typer.Exit(130) from None
    except (StoreDown, UnusableDatabase, BadValue) as why:
        raise fail(str(why)) from None
