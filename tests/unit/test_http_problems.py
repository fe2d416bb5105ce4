from __future__ import annotations

import json

from actors.runtime.errors import CODES, FieldError, Invalid
from server.http.problems import STATUS, problem
from server.limits import TooSoon


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(CODES)


def test_a_problem_is_rfc_9457_with_a_copy_for_the_seeds_clients() -> None:
    response = problem(Invalid("bad", (FieldError("x", "no"),)))
    assert response.status == 422
    assert response.content_type == "application/problem+json"
    body = json.loads(response.body)  # type: ignore[arg-type]
    assert body["detail"] == body["error"] == "bad"
    assert body["errors"] == [{"path": "x", "message": "no"}]


def test_who_should_come_back_is_told_when() -> None:
    assert problem(TooSoon("x", 12.4)).headers["Retry-After"] == "12"
    assert problem(CODES["draining"]("x")).headers["Retry-After"] == "1"
    assert "Retry-After" not in problem(CODES["timeout"]("x")).headers
