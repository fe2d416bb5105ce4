"""Who listens in a process of its own: prints of each frame when it is to sound by this machine's clock, and what it is.

Arguments: the server's URL, a token, a session, for how many seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from server.client import Client
from server.client_sound import Listening, SoundFrame

Heard = tuple[SoundFrame, float]


async def heard(sound: Listening, seconds: float) -> dict[int, Heard]:
    """Frames by position, and when each is to sound by this machine's clock, as a client knows that from its pings."""
    found: dict[int, Heard] = {}
    loop, first = asyncio.get_running_loop(), None
    async for frame in sound:
        due = sound.due_s(frame)
        if due is not None:
            first = frame.position if first is None else first
            found[frame.position] = frame, time.time() + due - loop.time()
            if frame.position - first >= seconds * frame.rate:
                break
    return found


async def _main(url: str, token: str, session: str, seconds: str) -> None:
    async with Client(url, token=token) as client, client.listen(session) as sound:
        found = await heard(sound, float(seconds))
    told = {position: (frame.payload.hex(), moment) for position, (frame, moment) in found.items()}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
