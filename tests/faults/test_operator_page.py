"""The operator's view in a real browser, on a server whose processes are killed while it watches."""

from __future__ import annotations

import pytest
from browsing import Chromium, Tab, violations
from harness import RunningServer
from prometheus_client.parser import text_string_to_metric_families

from server.client import Client

TOKEN_OF_NOBODY = "0" * 64
SAYS = "word => document.querySelector('#happenings').textContent.includes(word)"
ROWS = "() => [...document.querySelectorAll('#processes tr')].map(row => row.dataset.name)"

READ = """async odd => {
  const { parse } = await import("/static/operator/metrics.js");
  const text = odd + await (await fetch("/metrics")).text();
  const read = [...parse(text)].flatMap(([name, all]) => all.map(({ labels, value }) => [name, labels, value]));
  return [text, read];
}"""
MEDIAN = """async () => {
  const { parse, quantile } = await import("/static/operator/metrics.js");
  const counts = (...of) => parse(["1", "2", "+Inf"].map((le, at) => `x_bucket{le="${le}"} ${of[at]}`).join("\\n"));
  return quantile(counts(5, 5, 5), counts(10, 20, 20), "x", 2 / 3);
}"""


async def signed_in(tab: Tab, server: RunningServer) -> None:
    await tab.page.get_by_label("Admin token").fill((server.data_dir / "admin.token").read_text())
    await tab.page.get_by_role("button", name="Watch").click()
    await tab.wait("() => document.querySelectorAll('#processes tr').length > 3")


@pytest.mark.timeout(240)
async def test_the_operator_sees_what_runs_and_what_dies() -> None:
    async with RunningServer() as server, Chromium() as chromium:
        tab = await chromium.tab(f"{server.url}/operator")
        assert await violations(tab.page) == []
        await only_for_the_token(tab)
        await signed_in(tab, server)
        assert {"serve", "coordinator", "database", "gateway/0", "practitioner/0", "space/0"} <= set(
            await tab.page.evaluate(ROWS)
        )
        async with Client(server.url, guest="Ana") as ana:
            space = await ana.create_space("Circle", purpose="breath", access_level="open")
            async with ana.join(space["id"]) as joined:
                await joined.send({"text": "seen as a commit"})
                await tab.wait(
                    "() => /^1/.test([...document.querySelectorAll('.tile')][0].querySelector('dd').textContent)"
                )
        await tab.wait("() => document.querySelectorAll('.chart path[d^=M]').length > 5")
        assert await violations(tab.page) == []
        assert tab.errors == []
        await reads_as_prometheus_does(tab)
        await tab.page.set_viewport_size({"width": 360, "height": 740})
        assert await tab.page.evaluate("document.documentElement.scrollWidth") == 360
        await kills_are_told(tab, server)


async def only_for_the_token(tab: Tab) -> None:
    await tab.page.get_by_label("Admin token").fill(TOKEN_OF_NOBODY)
    await tab.page.get_by_label("Admin token").press("Enter")
    await tab.page.get_by_role("alert").wait_for()
    assert not await tab.page.locator("#processes tr").count()
    assert await tab.page.evaluate("sessionStorage.length") == 0
    tab.errors.clear()  # the console notes a 401 as an error


async def reads_as_prometheus_does(tab: Tab) -> None:
    """The same samples as prometheus-client's own parser finds, escapes and infinities included."""
    odd = '# TYPE odd gauge\nodd{name="a\\"b\\\\c\\nd"} -Inf\n'
    text, read = await tab.page.evaluate(READ, odd)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert len(samples) > 200
    assert {(name, str(labels), float(value)) for name, labels, value in read} == {
        (sample.name, str(dict(sample.labels)), sample.value) for sample in samples
    }
    assert await tab.page.evaluate(MEDIAN) == pytest.approx(1.5)


async def kills_are_told(tab: Tab, server: RunningServer) -> None:
    old, _ = await server.kill("space/0")
    await tab.wait(SAYS, f"space/0 was started anew: pid {old} →")
    await server.kill("gateway/0")
    await tab.wait(SAYS, "gateway/0 was started anew")
    # A gateway may be back between two looks: that it was away is told for certain where it is so for longer.
    await tab.context.set_offline(True)
    await tab.wait("() => document.querySelector('#state').textContent.startsWith('no answer for')")
    await tab.context.set_offline(False)
    await tab.wait("() => document.querySelector('#state').textContent === 'watching'")
    assert await tab.page.evaluate(SAYS, "the gateway answers again after")
