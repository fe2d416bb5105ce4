"""Who may be the local user."""

from __future__ import annotations

import pytest

from actors.runtime.errors import Forbidden
from server.http.forwarded import Client
from server.http.origins import Origins
from server.local_user import may_be_local

HOST = "localhost:8080"
ORIGINS = Origins([], ["https://friend.example"])
HERE = Client("127.0.0.1")


def asks(client: Client = HERE, **headers: str) -> bool:
    return may_be_local(client, {name.replace("_", "-"): value for name, value in headers.items()}, HOST, ORIGINS)


def test_a_program_of_this_machine_is() -> None:
    assert asks()
    assert asks(Client("::1"))


def test_who_comes_from_elsewhere_or_through_a_proxy_is_not() -> None:
    assert not asks(Client("10.0.0.1"))
    assert not asks(Client("127.0.0.1", forwarded=True))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost:8080", "Referer": "http://localhost:8080/x"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://friend.example"},
    ],
)
def test_a_page_of_our_own_or_of_an_allowed_origin_is(headers: dict[str, str]) -> None:
    assert asks(**headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "nonsense"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost:3000"},
        {"Referer": "https://evil.example/page"},
        {"Referer": "http://localhost:3000/"},
        {"Referer": "http://[::1"},
    ],
)
def test_a_foreign_page_is_refused_also_where_it_sends_no_origin(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        asks(**headers)
