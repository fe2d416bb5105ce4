"""Where the picture of a sound is found."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from actors.visuals.addresses import visual_of
from actors.visuals.pictures import KINDS, Cymatics, check


@pytest.mark.parametrize(
    ("frequencies", "hz"),
    [((432.0,), 432.0), ((7.83, 528.0, 136.1), 136.1), ((7.83,), 7.83), ((1 / 3, 20_000.0), 20_000.0)],
)
def test_it_is_of_the_lowest_tone_that_can_be_heard_and_can_be_drawn(frequencies: tuple[float, ...], hz: float) -> None:
    address = urlsplit(visual_of(frequencies))
    kind = KINDS[address.path.rpartition("/")[2]]
    picture = msgspec.convert(dict(parse_qsl(address.query)), kind, strict=False)
    assert isinstance(picture, Cymatics)
    assert picture.frequency == pytest.approx(hz)
    check(picture)
