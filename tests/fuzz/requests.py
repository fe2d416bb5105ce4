"""Requests that are wrong in one place or several: every type of ``REQUESTS``, every field, with every value of ``NASTY``.

A request is kept as names and JSON texts, so that it can hold what no encoder would write: duplicate keys, NaN, half a
surrogate, a number of 5,000 digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import orjson

from server.ws.protocol import MAX_ID, REQUESTS

SQL = ("'; DROP TABLE journal; --", "' OR '1'='1", '"; SELECT pg_sleep(9); --', "%", "_", "\\", "%' --", "$1", "$$")
HTML = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "{{7*7}}", "${7*7}")
PATHS = ("../../etc/passwd", "..\\..\\windows", "/etc/passwd", "%2e%2e%2f", "file:///etc/passwd", "\\\\host\\share")
SIGNS = ("\u202e\u2066", "\u200b", "é" * 100, "e" + "\u0301" * 500, "🕉" * 50, "\ufeff", "\u2028", "\r\n", "\x7f", " ")

NUMBERS = (
    "0", "-0", "-1", "1", "-0.0", "0.5", "1.0", "1.5", "1e400", "-1e400", "1e-400", "1E5", "2147483647", "2147483648",
    "-2147483649", "9007199254740991", "9007199254740992", "9223372036854775807", "9223372036854775808",
    "18446744073709551615", "18446744073709551616", "-9223372036854775809", "NaN", "Infinity", "-Infinity", "01", "+1",
    "0x10", "1_000", ".5", "9" * 5_000, "0." + "9" * 5_000,
)  # fmt: skip
ODD = (
    "null", "true", "false", '""', '" "', "[]", "{}", "[null]", '{"":""}', '{"a":1,"a":2}', r'"\u0000"', r'"a\u0000b"',
    r'{"\u0000":1}', r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d"', r'"\ud83d\ude00"', r'"\x41"', '"\t"', "'a'", "undefined",
    '{"__proto__":{"admin":true}}', '{"constructor":{"prototype":{}}}', '{"$ne":null}', '"00000000-0000-0000-0000-000000000000"',
)  # fmt: skip


def nested(depth: int, shape: str = "[") -> str:
    """JSON nested so deep."""
    return shape * depth + "1" + {"[": "]", '{"a":': "}"}[shape] * depth


def nasty(rng: Random) -> str:
    """The JSON text (or what looks like one) of some value that nobody expects."""
    match rng.randrange(10):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2 | 3:
            return rng.choice(ODD)
        case 4:
            return nested(
                rng.choice((30, 31, 32, 33, 64, 253, 254, 255, 1_000, 1_024, 1_025, 9_000)), rng.choice("[[[")
            )
        case 5:
            return nested(rng.choice((31, 33, 300, 3_000)), '{"a":')
        case 6:
            return json.dumps("x" * rng.choice((64, 100, 101, 256, 2_000, 2_001, 16_382, 16_383, 60_000)))
        case 7:
            many = rng.choice((100, 5_000))
            return rng.choice(
                (f"[{','.join('[]' for _ in range(many))}]", json.dumps({str(n): n for n in range(many)}))
            )
        case _:
            return json.dumps(rng.choice(SQL + HTML + PATHS + SIGNS), ensure_ascii=rng.random() < 0.5)


@dataclass
class Scene:
    """What a fuzzing session may speak of: its own, and what is others'."""

    spaces: Sequence[str]
    practitioners: Sequence[str]
    sessions: Sequence[str]
    own: str = ""
    corpus: list[dict[str, str]] = field(default_factory=list)
    """Requests that brought an answer not seen before."""


def _uuid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def _space(rng: Random, scene: Scene) -> Any:
    return rng.choice(
        [*scene.spaces, *scene.spaces, _uuid(rng), rng.choice(scene.spaces).upper(), "no-such-slug", "A B"]
    )


def _stream(rng: Random, scene: Scene) -> Any:
    kind = rng.choice(("space", "space", "practitioner", "eustress", "ritual", "sandbox", "", "audio"))
    return f"{kind}:{rng.choice([*scene.spaces, *scene.practitioners, *SCENES, _uuid(rng), 'x'])}"


def _resume(rng: Random, scene: Scene) -> Any:
    session = rng.choice([*scene.sessions, "x", ".", f"{_uuid(rng)}.AAAA"])
    if rng.random() < 0.5 and session:
        at = rng.randrange(len(session))
        session = session[:at] + rng.choice("A_-.=+/") + session[at + 1 :]
    return {
        "session": session,
        "secret": rng.choice((None, "", "A" * 22)),
        "offsets": {_stream(rng, scene): rng.choice((0, -1, 2**63))},
    }


def _word(*words: Any) -> Callable[[Random, Scene], Any]:
    return lambda rng, scene: rng.choice(words)


VALID: dict[str, Callable[[Random, Scene], Any]] = {
    "space": _space,
    "stream": _stream,
    "resume": _resume,
    "practitioner": lambda rng, scene: rng.choice([*scene.practitioners, _uuid(rng)]),
    "name": _word("Hall", "Circle of Sagas"),
    "purpose": _word("to meet", ""),
    "slug": lambda rng, scene: f"fuzz-{rng.getrandbits(24):x}",
    "tradition": _word("Taoist", None),
    "participant_limit": _word(1, 12, 10_000, 10_001),
    "access_level": _word("open", "invite", "private"),
    "ritual_schedule": _word(None, {"daily": "06:00"}, []),
    "shared_state": _word({}, {"candle": "lit"}, [1]),
    "body": _word("om", {"text": "om"}, [1, 2], None),
    "phase_rad": _word(0, 1.5, -7, 1e308),
    "ritual": _word("Void Contemplation", "no such ritual", "energy_attunement"),
    "intention": _word("peace", ""),
    "parameters": _word({}, {"intensity": 0.5}),
    "starts_in_s": _word(0, 5, 3_600, 3_601),
    "at": _word("2030-01-01T00:00:00Z", "2030-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "tomorrow"),
    "opening_s": _word(0, 3, 601),
    "integration_s": _word(0, 3, 601),
    "ritual_run": lambda rng, scene: _uuid(rng),
    "transformation_type": _word("symbol", "integration", "archetype_activation", "energy_adjustment"),
    "session_id": lambda rng, scene: rng.choice([_uuid(rng), None]),
    "before": lambda rng, scene: rng.choice([_uuid(rng), None, 0, 3, 2**31]),
    "after": _word(0, 1, 10**6, 2**53, 2**63 - 1, 2**63, None),
    "limit": _word(1, 50, 500, 501, 0),
    "q": _word(None, "Hall", "%", "\\", "x" * 201),
    "session": lambda rng, scene: _uuid(rng),
    "codec": _word("pcm", "opus", "mp3"),
    "spectrum": _word(True, False, 1),
    "token": _word("", "x", "Bearer x"),
    "guest": _word("Gaia", ""),
}


SCENES = ("fuzz", 'Ätna: "3", %2F', "eustress:x", "x" * 200)
"""Names of Eustress spaces: few, for each has a process of its own."""
_CONNECTION = {"source_id": "a", "target_id": "b:c", "connection_type": "hierarchy"}
OF_THE_LAKE: dict[str, Callable[[Random, Scene], Any]] = {
    "space": _word(*SCENES),
    "entities": _word([], [{"id": "a"}], [{"id": "b:c", "position": [1, 2.5, -3e38], "tags": ["x"]}] * 2),
    "connections": _word([_CONNECTION], [_CONNECTION | {"connection_type": "near", "strength": 0.5}]),
    "parameters": _word([{"entity_id": "a", "parameter_name": "mass", "value": {"kg": 1}}]),
    "removed_connections": _word([_CONNECTION], []),
    "removed_entities": _word(["a"], ["nobody"], []),
}
"""Where a field of a ``eustress.*`` request is another than elsewhere, or is nowhere else."""


def request(rng: Random, scene: Scene, request_id: int) -> dict[str, str]:
    """One request as name → JSON text, most of it right."""
    if scene.corpus and rng.random() < 0.3:
        return rng.choice(scene.corpus) | {"id": str(request_id)}
    name = rng.choice(list(REQUESTS))
    fields = {"id": str(request_id), "type": json.dumps(name)}
    valid = VALID | OF_THE_LAKE if name.startswith("eustress.") else VALID
    for each in msgspec.structs.fields(REQUESTS[name]):
        if each.name != "id" and (each.required or rng.random() < 0.6):
            fields[each.name] = json.dumps(valid[each.name](rng, scene))
    return fields


def spoiled(rng: Random, fields: dict[str, str]) -> dict[str, str]:
    """Some of its values replaced, lost, or joined by others that nobody knows."""
    fields = dict(fields)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        name = rng.choice(list(fields))
        if name in ("id", "type") and rng.random() < 0.85:
            continue
        match rng.randrange(8):
            case 0 if name != "id":
                del fields[name]
            case 1:
                fields[rng.choice(("admin", "operation", "caller", "session", "practitioner", "", "type "))] = nasty(
                    rng
                )
            case _:
                fields[name] = nasty(rng)
    return fields


def spelled(rng: Random, fields: dict[str, str]) -> bytes:
    """The frame's payload: the order, the blanks and the repetitions are free."""
    pairs = [f"{json.dumps(name)}:{value}" for name, value in fields.items()]
    if rng.random() < 0.2:
        rng.shuffle(pairs)
    if rng.random() < 0.05:
        pairs.append(rng.choice(pairs))
    payload = ("{" + ",".join(pairs) + "}").encode(errors="replace")
    match rng.randrange(100):
        case 0:
            return payload[: rng.randrange(len(payload) + 1)]
        case 1:
            return rng.choice((b"\xef\xbb\xbf", b"\x00", b" \n\t", b"//x\n")) + payload
        case 2:
            return payload + rng.choice((b"\x00", b"{}", b"]", b" "))
        case 3:
            at = rng.randrange(len(payload))
            return payload[:at] + rng.randbytes(rng.randrange(4)) + payload[at + 1 :]
        case 4:
            return rng.choice(
                (b"", b"null", b"[]", b"1", b'""', b"{}", b'{"id":3}', nested(10**5 // 2).encode()[:60_000])
            )
        case _:
            return payload


def usable_id(payload: bytes) -> int | None:
    """The id that has to be answered; None where there is none."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    found = value.get("id") if type(value) is dict else None
    return found if type(found) is int and 1 <= found <= MAX_ID else None


def structured_case(rng: Random, scene: Scene, first_id: int) -> list[tuple[dict[str, str], bytes]]:
    """Requests of one connection with what they are made of; every third is sent twice."""
    made = []
    for n in range(rng.randint(1, 25)):
        fields = spoiled(rng, request(rng, scene, first_id + n))
        made.append((fields, spelled(rng, fields)))
        if rng.random() < 0.03:
            made.append(made[-1])
    return made
