"""The collective state of a group ritual: what the participants' states, after it, have in common. Pure.

For each archetype and energy, over the transformed participants who have it (``n`` of them):

    mean = Σx / n        sd = √(Σ(x − mean)² / n)        the population's, for the participants are all there are

then how many participants have each symbol, the mean intensity of their transformations, and how far the phases of
breath or pulse agreed when the last of them was done (``coherence``; nulls where nobody sends a phase). Sums are exactly
rounded (``math.fsum``), so the order in which participants were done does not show. A collective of one is that one's
state: whoever takes part alone shows it to the space.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from actors.ritual.values import Contribution
from actors.space.coherence import Coherence

BYTES_MAX: Final = 32 * 1024
"""Of a collective state's JSON: it is pushed to everyone and twice journaled; ten states full of names fit."""
SECTIONS: Final = ("archetypes", "energies", "symbols")
KEY: Final = "collective"

_encode: Final = msgspec.json.Encoder().encode


def collective(contributions: Collection[Contribution], participants: int, agreed: Coherence) -> dict[str, Any]:
    """The collective state of those of so many participants who were transformed (one at least).

    The most common names come first.
    """
    counts = Counter(symbol for each in contributions for symbol in dict.fromkeys(each.symbols))
    return {
        "transformed": len(contributions),
        "participants": participants,
        "archetypes": _statistics([each.archetypes for each in contributions]),
        "energies": _statistics([each.energies for each in contributions]),
        "symbols": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "mean_intensity": math.fsum(each.intensity for each in contributions) / len(contributions),
        "coherence": {"r": agreed.r, "unbiased": agreed.unbiased, "n": agreed.n},
        "left_out": dict.fromkeys(SECTIONS, 0),
    }


def _statistics(maps: Collection[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for each in maps:
        for name, value in each.items():
            values[name].append(value)
    common = sorted(values.items(), key=lambda item: (-len(item[1]), item[0]))
    return {name: statistics(found) for name, found in common}


def statistics(values: Collection[float]) -> dict[str, float]:
    """Mean, population standard deviation and number of values (one at least)."""
    n = len(values)
    mean = math.fsum(values) / n
    return {"mean": mean, "sd": math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n), "n": n}


def fitted(whole: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """The collective state in at most so many bytes of JSON: the rarest names are left out, symbols first.

    ``left_out`` counts them. None where not even the empty one fits.
    """
    fits: dict[str, Any] = {**whole, "left_out": {name: len(whole[name]) for name in SECTIONS}}
    fits |= {name: {} for name in SECTIONS}
    used = len(_encode(fits))
    for section, name, value in _by_rank(whole):
        used += len(_encode({name: value})) - 1  # its braces go, a comma comes
        if used > most:
            break
        fits[section][name] = value
        fits["left_out"][section] -= 1
    return fits if len(_encode(fits)) <= most else None


def _by_rank(whole: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Each name with its section: archetypes and energies, then symbols; of each the most common first."""
    strengths = [(section, name, value) for section in SECTIONS[:2] for name, value in whole[section].items()]
    strengths.sort(key=lambda entry: -entry[2]["n"])
    return strengths + [("symbols", name, count) for name, count in whole["symbols"].items()]


def shared(shared_state: msgspec.Raw, whole: Mapping[str, Any], most: int) -> msgspec.Raw | UnsetType:
    """The space's shared state with this collective state in it, within so many bytes.

    UNSET where it stays as it is: it is no object, or has no room left even for the least.
    """
    if not bytes(shared_state).lstrip().startswith(b"{"):
        return UNSET
    rest = msgspec.json.decode(shared_state, type=dict[str, msgspec.Raw])
    room = most - len(_encode({**rest, KEY: 0})) + 1
    fits = fitted(whole, room)
    return UNSET if fits is None else msgspec.Raw(_encode({**rest, KEY: fits}))
