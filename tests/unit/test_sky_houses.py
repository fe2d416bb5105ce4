"""Angles and houses against what they are: points of the horizon and the meridian, thirds of semi-arcs."""

from __future__ import annotations

from math import acos, asin, atan2, cos, degrees, radians, sin, tan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.runtime.errors import Invalid
from actors.sky.angles import difference, separation, turned
from actors.sky.houses import Frame, ascendant, house_of, houses, midheaven

RAMC = st.floats(min_value=0, max_value=359.999)
OBLIQUITY = st.floats(min_value=23.42, max_value=23.46)
ANYWHERE = st.floats(min_value=-89.99, max_value=89.99)
TEMPERATE = st.floats(min_value=-66.0, max_value=66.0)
ARC_SECOND = 1 / 3600


def seen(frame: Frame, longitude: float) -> tuple[float, float]:
    """Altitude and hour angle of a point of the ecliptic, by the plain transformations (Meeus 13.3, 13.4, 13.6)."""
    lam, eps, phi = radians(longitude), radians(frame.obliquity), radians(frame.latitude)
    ascension = atan2(sin(lam) * cos(eps), cos(lam))
    declination = asin(sin(eps) * sin(lam))
    hour = radians(frame.ramc) - ascension
    altitude = asin(max(-1.0, min(1.0, sin(phi) * sin(declination) + cos(phi) * cos(declination) * cos(hour))))
    return degrees(altitude), difference(degrees(hour), 0)


def test_greenwich_at_j2000() -> None:
    """Of the ephemeris' own sidereal time and obliquity then; the two results are ../shared/domain.md's."""
    frame = Frame(ramc=280.4585557, obliquity=23.4376768, latitude=51.4779)
    assert ascendant(frame) == pytest.approx(24.26943, abs=5e-6)
    assert midheaven(frame) == pytest.approx(279.61246, abs=5e-6)


@given(RAMC, OBLIQUITY, ANYWHERE)
def test_the_ascendant_is_on_the_horizon_and_in_the_east(ramc: float, obliquity: float, latitude: float) -> None:
    frame = Frame(ramc=ramc, obliquity=obliquity, latitude=latitude)
    eps, phi, theta = radians(obliquity), radians(latitude), radians(ramc)
    assume(abs(cos(eps) * cos(phi) + sin(phi) * sin(eps) * sin(theta)) > 1e-6)  # the ecliptic lies on the horizon
    rising = ascendant(frame)
    assert rising is not None
    altitude, hour = seen(frame, rising)
    assert altitude == pytest.approx(0, abs=1e-5)
    assert -180 < hour < 1e-5


@given(RAMC, OBLIQUITY, ANYWHERE)
def test_the_midheaven_is_on_the_upper_meridian(ramc: float, obliquity: float, latitude: float) -> None:
    frame = Frame(ramc=ramc, obliquity=obliquity, latitude=latitude)
    assert seen(frame, midheaven(frame))[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(ramc=12, obliquity=23.44, latitude=90),
        Frame(ramc=12, obliquity=23.44, latitude=-90),
        Frame(ramc=270, obliquity=23.44, latitude=66.56),  # the pole of the ecliptic is overhead
        Frame(ramc=90, obliquity=23.44, latitude=-66.56),
    ],
)
def test_where_nothing_rises_there_is_no_ascendant(frame: Frame) -> None:
    assert ascendant(frame) is None
    with pytest.raises(Invalid, match="no ascendant") as refused:
        houses(frame, "whole_sign")
    assert refused.value.errors[0].path == "lat"


@given(RAMC, OBLIQUITY, TEMPERATE)
def test_whole_sign_and_equal_houses(ramc: float, obliquity: float, latitude: float) -> None:
    frame = Frame(ramc=ramc, obliquity=obliquity, latitude=latitude)
    whole, equal = houses(frame, "whole_sign"), houses(frame, "equal")
    assert {cusp % 30 for cusp in whole.cusps} == {0.0}
    assert 0 <= difference(whole.ascendant, whole.cusps[0]) < 30
    assert equal.cusps[0] == equal.ascendant
    for cusps in (whole.cusps, equal.cusps):
        assert all(separation(turned(cusps[n] + 30), cusps[(n + 1) % 12]) < 1e-9 for n in range(12))


@given(RAMC, OBLIQUITY, TEMPERATE)
def test_placidus_cusps_divide_their_own_semi_arcs(ramc: float, obliquity: float, latitude: float) -> None:
    frame = Frame(ramc=ramc, obliquity=obliquity, latitude=latitude)
    cusps = houses(frame, "placidus").cusps
    for house, share in ((11, 1 / 3), (12, 2 / 3), (1, 1.0)):  # of the diurnal arc, from the upper meridian
        _, hour = seen(frame, cusps[house - 1])
        assert -hour == pytest.approx(share * semi_arc(frame, cusps[house - 1]), abs=1e-6)
    for house, share in ((2, 2 / 3), (3, 1 / 3)):  # of the nocturnal arc, from the lower one
        _, hour = seen(frame, cusps[house - 1])
        assert 180 + hour == pytest.approx(share * (180 - semi_arc(frame, cusps[house - 1])), abs=1e-6)
    assert separation(cusps[9], midheaven(frame)) < 1e-9
    assert all(separation(cusps[n], cusps[n + 6]) == pytest.approx(180) for n in range(6))
    assert sum(turned(cusps[(n + 1) % 12] - cusps[n]) for n in range(12)) == pytest.approx(360), "in order, once round"


def semi_arc(frame: Frame, longitude: float) -> float:
    declination = asin(sin(radians(frame.obliquity)) * sin(radians(longitude)))
    return degrees(acos(max(-1.0, min(1.0, -tan(radians(frame.latitude)) * tan(declination)))))


@pytest.mark.parametrize(
    ("latitude", "ramc", "cusps"),
    [  # houses 1 to 6 by Swiss Ephemeris 2.10, for 1950-03-03 06:15 UT1 at 16.3738° and -20° east
        (48.2082, 270.5803186, (1.2287826, 46.0871749, 71.15923, 90.532398, 110.0033826, 135.4672576)),
        (65.0, 234.2065186, (259.4238393, 343.4924589, 37.2852554, 56.51518, 66.8792278, 73.8877663)),
    ],
)
def test_placidus_against_another_programme(latitude: float, ramc: float, cusps: tuple[float, ...]) -> None:
    found = houses(Frame(ramc=ramc, obliquity=23.4484084, latitude=latitude), "placidus").cusps
    assert max(separation(ours, theirs) for ours, theirs in zip(found[:6], cusps, strict=True)) < 0.01 * ARC_SECOND


@pytest.mark.parametrize("latitude", [66.57, -66.57, 69.65, 80.0])
def test_beyond_the_polar_circles_placidus_is_refused(latitude: float) -> None:
    frame = Frame(ramc=200, obliquity=23.4365, latitude=latitude)
    with pytest.raises(Invalid, match="polar circles") as refused:
        houses(frame, "placidus")
    assert refused.value.errors[0].path == "system"
    assert len(houses(frame, "equal").cusps) == 12


def test_just_within_the_polar_circle_placidus_is_still_there() -> None:
    cusps = houses(Frame(ramc=200, obliquity=23.4365, latitude=66.5634), "placidus").cusps
    assert sum(turned(cusps[(n + 1) % 12] - cusps[n]) for n in range(12)) == pytest.approx(360)


@given(RAMC, TEMPERATE, st.floats(min_value=0, max_value=359.99))
def test_every_longitude_is_in_the_house_between_its_cusps(ramc: float, latitude: float, longitude: float) -> None:
    cusps = houses(Frame(ramc=ramc, obliquity=23.44, latitude=latitude), "placidus").cusps
    house = house_of(longitude, cusps)
    assert turned(longitude - cusps[house - 1]) <= turned(cusps[house % 12] - cusps[house - 1])
    assert [house_of(cusp, cusps) for cusp in cusps] == list(range(1, 13))
