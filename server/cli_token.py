"""``sangha token``: tokens of services, of the running server. The token alone goes to standard output, and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from server.cli_common import DataDir, Port, fail, find_server, read_settings
from server.join import printable

if TYPE_CHECKING:
    from server.settings import Settings

PATH: Final = "/api/admin/tokens"
ID_LENGTH: Final = 36
_ID: Final = re.compile(r"[0-9a-f-]{6,36}")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(token)


def token(
    service: Annotated[str | None, typer.Option(help="For which service: eustress.")] = None,
    name: Annotated[str | None, typer.Option(help="Which engine it is for, for people.")] = None,
    days: Annotated[float | None, typer.Option(help="How long it counts (default 365).")] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the tokens that count; not the tokens themselves.")
    ] = False,
    revoke: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Revoke one: its id as --list shows it, or how only that one begins."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="With --list: one JSON array.")] = False,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token for a service, such as a Eustress engine, and print it; it is shown once."""
    other = list_ or revoke is not None
    if (list_ and revoke is not None) or (other and (name is not None or days is not None)) or (json and not list_):
        raise fail("one of: --service NAME [--name N] [--days D], --list [--service NAME] [--json], --revoke ID")
    settings = read_settings(data_dir=data_dir)
    if list_:
        _print_list(ask_admin(settings, port, "GET", PATH, params={"service": service} if service else {}), json)
    elif revoke is not None:
        ask_admin(settings, port, "DELETE", f"{PATH}/{_id_meant(settings, port, revoke)}")
    elif service is None:
        raise fail("for which service? --service eustress")
    else:
        body = {"service": service} | ({"name": name} if name else {}) | ({"days": days} if days is not None else {})
        print(ask_admin(settings, port, "POST", PATH, json=body)["token"])  # noqa: T201


def _id_meant(settings: Settings, port: int | None, given: str) -> str:
    """The id that begins so. Exits with one line where none does, or more than one."""
    begins = given.strip().lower()
    if not _ID.fullmatch(begins):
        raise fail(f"{printable(given)!r} is no id of a token, nor how one begins (6 characters or more)")
    if len(begins) == ID_LENGTH:
        return begins
    known = [str(row["id"]) for row in ask_admin(settings, port, "GET", PATH)]
    found = [id_ for id_ in known if id_.startswith(begins)]
    if len(found) != 1:
        which = f"{len(found)} tokens have an id" if found else "no token that counts has an id"
        raise fail(f"{which} that begins with {begins}")
    return found[0]


def ask_admin(settings: Settings, port: int | None, method: str, path: str, **options: Any) -> Any:
    """What the running server answers to its operator. Exits with one line where there is none, or where it refuses."""
    import httpx

    found = find_server(settings, port)
    try:
        admin_token = (settings.data_dir / "admin.token").read_text().strip()
    except OSError as why:
        raise fail(f"no admin token in {settings.data_dir}: {why.strerror}; does a server run on it?") from None
    try:
        headers = {"Authorization": f"Bearer {admin_token}"}
        with httpx.Client(base_url=found.http, headers=headers, timeout=60, verify=found.ssl or True) as http:
            answer = http.request(method, path, **options)
    except httpx.HTTPError as why:
        raise fail(
            f"no server answers on {found.host}:{found.port} ({why}); is it running? (--port, --data-dir)"
        ) from None
    if answer.is_success:
        return answer.json() if answer.content else None
    try:
        said = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        said = f"{answer.status_code} {answer.text[:200]}"
    raise fail(f"the server says: {said}")


def _print_list(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Ids are whole, however narrow the terminal: they are copied from here."""
    if as_json:
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())  # noqa: T201
        return
    for row in rows:
        until, name = row["expires_at"][:10], f"  {printable(row['name'])}" if row["name"] else ""
        print(f"{row['id']}  {row['service']}  until {until}{name}")  # noqa: T201
