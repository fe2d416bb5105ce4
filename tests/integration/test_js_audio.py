"""The JavaScript client and its player in a real browser: what leaves the worklet is the session's tone, when it is said to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from audio_fakes import SESSION, FakeSessions, paused, running, sounding
from browsing import Chromium, Tab
from gateway_fakes import HALL, World

LISTEN = """async ([session, codec]) => {
  const { Client, Player } = await import("/static/sangha.js");
  window.client = await new Client({ token: "t", backoff: { baseS: 0.05, capS: 0.2 } }).open();
  window.sound = await client.listen(session, { codec, spectrum: true });
  window.said = [];
  sound.addEventListener("event", ({ detail }) => said.push(detail.body.status));
  sound.addEventListener("spectrum", ({ detail }) => { window.seen = detail; });
  sound.addEventListener("format", () => said.push("format"));
  window.came = 0;
  sound.addEventListener("frame", ({ detail }) => { window.last = detail; came += 1; });
  window.player = new Player(sound, { volume: 1 });
  await player.start();
  return [sound.state.status, sound.format, sound.codec];
}"""
PEAK = """() => {
  if (!window.player?.analyser) return null;
  const bins = new Float32Array(player.analyser.frequencyBinCount);
  player.analyser.getFloatFrequencyData(bins);
  let best = 0;
  for (let n = 1; n < bins.length; n += 1) if (bins[n] > bins[best]) best = n;
  return bins[best] > -30 ? (best * player.analyser.context.sampleRate) / player.analyser.fftSize : null;
}"""
EDGES = """async () => {
  const wave = new Float32Array(player.analyser.fftSize);
  let worst = 0;
  for (let turn = 0; turn < 40; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    player.analyser.getFloatTimeDomainData(wave);
    for (let n = 1; n < wave.length; n += 1) worst = Math.max(worst, Math.abs(wave[n] - wave[n - 1]));
  }
  return worst;
}"""


@pytest_asyncio.fixture
async def here() -> AsyncIterator[tuple[World, FakeSessions, Tab]]:
    no_gesture = "--autoplay-policy=no-user-gesture-required"
    async with sounding() as (w, sessions), Chromium(no_gesture) as chromium:
        yield w, sessions, await chromium.tab(f"{w.http}/robots.txt")


@pytest.mark.parametrize("codec", ["pcm", "opus"])
async def test_a_player_plays_the_tone_without_a_click_through_a_pause_and_a_cut(
    here: tuple[World, FakeSessions, Tab], codec: str
) -> None:
    w, sessions, tab = here
    w.shards.space(HALL)
    status, format_, used = await tab.page.evaluate(LISTEN, [SESSION, codec])
    assert (status, format_["codec"], used) == ("created", codec, codec)
    sessions.put(running(sessions.states[SESSION]))
    await tab.wait(f"() => Math.abs(({PEAK})() - 432) < 30")
    slope = 2 * 3.1416 * 436 / 44_100 * 0.5
    assert await tab.page.evaluate(EDGES) < slope * 1.5
    assert sorted((await tab.wait("window.seen"))["frequencies"][:2]) == pytest.approx([428.1, 435.9], abs=1)
    for _ in range(10):  # pings of a busy machine are bad ones; the best of them counts
        if abs(error_s := await _position_error_s(tab, sessions)) < 0.02:
            break
        await tab.page.evaluate("client.measureClock()")
    assert abs(error_s) < 0.02

    sessions.put(paused(sessions.states[SESSION]))
    await tab.wait("said.includes('paused') && last.last")
    await tab.wait("player.stats.played + player.stats.late === came")  # its fade too, behind the word of it
    at = sessions.states[SESSION].timeline.position_s
    assert await tab.page.evaluate("sound.positionS()") == pytest.approx(at)
    await tab.wait(f"() => ({PEAK})() === null")
    sessions.put(running(sessions.states[SESSION], position_s=at))
    await tab.wait(f"() => ({PEAK})() !== null")

    for connection in list(w.gateway._connections):
        connection.transport.abort()
    await tab.wait("said.includes('format')")
    await tab.page.evaluate("window.last = null")
    await tab.wait("window.last !== null")
    await tab.wait(f"() => ({PEAK})() !== null")
    await tab.wait("player.stats.played > 20")
    await tab.page.evaluate("player.stop().then(() => sound.unlisten())")
    assert len(await w.gateway.sound()) == 0
    assert not tab.errors


async def _position_error_s(tab: Tab, sessions: FakeSessions) -> float:
    """What the page takes for the position, against what it is by this machine's own clock, which is the server's too."""
    found: list[Any] = await tab.page.evaluate("[sound.positionS(), Date.now() / 1000]")
    timeline = sessions.states[SESSION].timeline
    assert timeline.anchor_at is not None
    return float(found[0] - (found[1] - timeline.anchor_at.timestamp() + timeline.position_s))


SLOW = """async ([session, latencyS]) => {
  const { Player } = await import("/static/sangha.js");
  const context = new AudioContext({ sampleRate: sound.format.rate });
  const slow = () => ({ contextTime: context.currentTime - latencyS, performanceTime: performance.now() });
  context.getOutputTimestamp = slow;
  window.player = new Player(sound, { context });
  await context.resume();
  await new Promise((resolve) => setTimeout(resolve, 1000 * latencyS + 100)); // its clock begins at 0
  await player.start();
}"""


async def test_through_a_loudspeaker_that_is_slower_than_frames_come_ahead_it_is_heard_later(
    here: tuple[World, FakeSessions, Tab],
) -> None:
    w, sessions, tab = here
    w.shards.space(HALL)
    await tab.page.evaluate(LISTEN, [SESSION, "pcm"])
    await tab.page.evaluate("player.stop()")
    sessions.put(running(sessions.states[SESSION]))
    await tab.page.evaluate(SLOW, [SESSION, 0.5])
    await tab.wait(f"() => Math.abs(({PEAK})() - 432) < 30")
    assert 300 < await tab.page.evaluate("player.stats.behindMs") < 1500
    await tab.page.evaluate("player.stop().then(() => player.start())")
    assert await tab.page.evaluate("player.stats.behindMs") == 0
    assert not tab.errors


async def test_auto_is_opus_where_both_have_it_and_pcm_where_the_server_has_no_encoder(
    here: tuple[World, FakeSessions, Tab], monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.sound import opus

    _, _, tab = here
    assert (await tab.page.evaluate(LISTEN, [SESSION, "auto"]))[2] == "opus"
    await tab.page.evaluate("sound.unlisten()")
    monkeypatch.setattr(opus, "is_there", lambda: False)
    assert (await tab.page.evaluate(LISTEN, [SESSION, "auto"]))[2] == "pcm"
