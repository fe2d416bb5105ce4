"""The one practitioner who needs no login, where ``local_user`` is on: for clients of this machine that know none.

It is an account like any other, made durably when it is first needed, but for its password: it has none. Who may be it is
decided by what a stranger's page cannot choose: the peer's address, forwarding headers, and what a browser says about
itself (Origin, Sec-Fetch-Site, Referer).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from actors.practitioner import commands as c
from actors.runtime.entity import Address
from actors.runtime.errors import Forbidden, NotFound
from actors.runtime.wire import Refused
from server import tokens
from server.http.forwarded import Client
from server.http.origins import Origins
from server.listening import is_loopback
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

ID: Final = str(uuid.uuid5(uuid.UUID("5b0c3f0e-7a1d-5d0a-9c55-8a3f6f1d2e01"), "the local user"))
"""The same in every gateway and after every start."""
NO_PASSWORD: Final = "!"
"""No hash, so no password fits."""


class LocalLogin(NamedTuple):
    """What stands for a login: it cannot be ended and does not end."""

    id: str = ID
    practitioner_id: str = ID
    expires_at: datetime = datetime.max.replace(tzinfo=UTC)
    service: str | None = None


def may_be_local(client: Client, headers: Mapping[str, str], host: str, origins: Origins) -> bool:
    """Whether a request comes from this machine itself. Raises Forbidden for a foreign page in a browser of this machine."""
    if client.forwarded or not is_loopback(client.address):
        return False
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if site in (None, "same-origin", "none") and _own_referer(headers.get("Referer"), host, origins):
        return True
    if origin is None or not origins.allows(origin, host):  # a page's image or link has no Origin, and runs along
        raise Forbidden("a page of another origin cannot be the local user")
    return True


def _own_referer(referer: str | None, host: str, origins: Origins) -> bool:
    if not referer:
        return True
    try:
        page = urlsplit(referer)
    except ValueError:
        return False
    return origins.allows(f"{page.scheme}://{page.netloc}", host)


async def local_practitioner(gateway: Gateway) -> str:
    """The id of the account, which is there from now on. Raises what its entity refuses with."""
    address = Address("practitioner", ID)
    answer = await gateway.ask(address, c.encode(c.GetProfile()))
    if isinstance(answer, Refused) and answer.code == NotFound.code:
        # The same command under the same operation from every gateway: the first counts, the others get its reply.
        email = f"local-{tokens.salt(gateway.secret, ID).hex()}@sangha.invalid"
        register = c.encode(c.Register(email=email, password_hash=NO_PASSWORD, spiritual_name="Local practitioner"))
        answer = await gateway.ask(address, register, None, f"{ID}:local-user")
    if isinstance(answer, Refused):
        raise protocol.from_refused(answer)
    return ID
