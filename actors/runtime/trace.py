"""The id of the request that is being worked on, for log lines. It crosses links in ``Ask.request_id``."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
