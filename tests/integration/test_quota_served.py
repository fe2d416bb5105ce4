"""A practitioner's quota of runs against a real server with its limits: who is refused, until when, and who is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from circle import Circle
from harness import RunningServer

from actors.runtime.errors import RateLimited

BODY = {"ritual_name": "archetype_invocation"}


def midnight() -> datetime:
    """The end of the server's day."""
    return datetime.combine(datetime.now(UTC).date() + timedelta(days=1), datetime.min.time(), UTC)


@pytest.mark.timeout(120)
async def test_after_a_days_runs_the_next_is_refused_until_midnight_and_a_group_completes_without_it() -> None:
    server = RunningServer(SANGHA_RITUAL_RUNS_PER_DAY="3")
    server.arguments = ["--guests"]
    async with server, Circle(server, 2, BODY["ritual_name"]) as circle:
        leader, eager = circle.members
        headers = {"Authorization": f"Bearer {eager.token}"}
        async with httpx.AsyncClient(base_url=server.url, timeout=60, headers=headers) as http:
            answers: list[httpx.Response] = []
            day = midnight()
            while len(answers) < 4:
                answers.append(await http.post("/api/rituals/execute", json=BODY))
                if midnight() != day:  # began on the day before: it counts anew
                    day, answers = midnight(), []
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429], answers[-1].text
        refused = answers[3].json()
        assert refused["code"] == "rate_limited"
        assert refused["detail"] == "3 runs a day are allowed; no more until 00:00 UTC"
        until_s = (day - datetime.now(UTC)).total_seconds()
        assert int(answers[3].headers["Retry-After"]) == pytest.approx(until_s, abs=10)
        with pytest.raises(RateLimited, match="no more until 00:00 UTC"):
            await eager.client.run_ritual(BODY["ritual_name"], timeout_s=30)
        before = await circle.versions()
        run = await circle.begin(starts_in_s=0, opening_s=0, integration_s=0)
        summary = await circle.check_closed(run, before, 1)
        assert summary["outcome"] == "completed"
        assert summary["failed"] == [{"practitioner": eager.id, "code": "rate_limited"}]
        assert summary["collective"]["transformed"] == 1
        assert (await circle.versions())[leader.id] == 1
