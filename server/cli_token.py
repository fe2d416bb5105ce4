"""``sangha token``: tokens of services, of the running server. The token alone goes to standard output, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli_common import DataDir, Port, fail, find_server, read_settings

if TYPE_CHECKING:
    from server.settings import Settings


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
    revoke: Annotated[str | None, typer.Option(metavar="ID", help="Revoke one: its id, as --list shows it.")] = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token for a service, such as a Eustress engine, and print it; it is shown once."""
    if list_ + (revoke is not None) > 1 or ((list_ or revoke is not None) and (name is not None or days is not None)):
        raise fail("one of: --service NAME [--name N] [--days D], --list [--service NAME], --revoke ID")
    settings = read_settings(data_dir=data_dir)
    if list_:
        _print_list(
            ask_admin(settings, port, "GET", "/api/admin/tokens", params={"service": service} if service else {})
        )
    elif revoke is not None:
        ask_admin(settings, port, "DELETE", f"/api/admin/tokens/{revoke}")
    elif service is None:
        raise fail("for which service? --service eustress")
    else:
        body = {"service": service} | ({"name": name} if name else {}) | ({"days": days} if days is not None else {})
        print(ask_admin(settings, port, "POST", "/api/admin/tokens", json=body)["token"])  # noqa: T201


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


def _print_list(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        until, name = row["expires_at"][:10], f"  {row['name']}" if row["name"] else ""
        print(f"{row['id']}  {row['service']}  until {until}{name}")  # noqa: T201
