"""Uploading a ritual over HTTP, as its author: the login, the form, and what the server says no with."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any, Final

import httpx
import orjson
import typer

TIMEOUT_S: Final = 120.0
"""The server reads, checks and compiles the module, and runs it once."""
OF_THE_RITUAL: Final = frozenset({"ritual_rejected", "ritual_failed", "too_large"})
"""Codes that say that the module has to be mended."""


class UploadRefused(Exception):
    """It is not in the catalog; the message says why. ``of_the_ritual``: the module is at fault."""

    def __init__(self, message: str, *, of_the_ritual: bool = False) -> None:
        super().__init__(message)
        self.of_the_ritual = of_the_ritual


def log_in(url: str, email: str | None, verify: SSLContext | bool = True) -> str:
    """A token. The password is SANGHA_PASSWORD, or asked for. Raises UploadRefused."""
    if email is None:
        raise UploadRefused("who uploads? --email EMAIL, or --token TOKEN (or SANGHA_TOKEN)")
    password = os.environ.get("SANGHA_PASSWORD")
    if password is None:
        if not sys.stdin.isatty():
            raise UploadRefused("no terminal to ask for the password on: set SANGHA_PASSWORD")
        password = typer.prompt("Password", hide_input=True)
    answer = _post(f"{url}/api/users/login", verify=verify, json={"email": email, "password": password})
    return str(answer["token"])


def send(
    url: str, token: str, module: bytes, fields: Mapping[str, Any], verify: SSLContext | bool = True
) -> dict[str, Any]:
    """The ritual as the catalog has it. Raises UploadRefused."""
    texts = {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in fields.items()}
    return _post(
        f"{url}/api/rituals/upload",
        verify=verify,
        data=texts,
        files={"wasm_module": ("ritual.wasm", module, "application/wasm")},
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid.uuid4())},
    )


def _post(url: str, **request: Any) -> dict[str, Any]:
    try:
        answer = httpx.post(url, timeout=TIMEOUT_S, trust_env=False, **request)
    except httpx.HTTPError as why:
        where = httpx.URL(url).netloc.decode()
        raise UploadRefused(f"no server answers on {where} ({why}); is it running? (--port, --data-dir)") from None
    if answer.is_success:
        told: dict[str, Any] = answer.json()
        return told
    raise _refusal(answer)


def _refusal(answer: httpx.Response) -> UploadRefused:
    try:
        problem = answer.json()
        lines = [f"{problem['code']}: {problem['detail']}"]
        errors = [f"  {each['path']}: {each['message']}" for each in problem.get("errors", ())]
        of_the_ritual = problem["code"] in OF_THE_RITUAL
    except (ValueError, KeyError, TypeError):
        return UploadRefused(f"the server answered {answer.status_code}: {answer.text[:200]}")
    return UploadRefused("\n".join(lines + errors if len(errors) > 1 else lines), of_the_ritual=of_the_ritual)
