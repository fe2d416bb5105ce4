"""``/api/v1/audio``: sounds made on the spot, as samples, as a file, as a spectrum; what may be asked for.

Nothing is kept: a sound is its query. ``POST generate`` says where to stream what is too long for a list.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.audio import spectrum as spectra
from actors.audio.presets import (
    HEARD_HZ,
    LAYERS_MAX,
    PRESETS,
    Made,
    Preset,
)
from actors.audio.recipe import Binaural, Recipe
from actors.audio.render import frames_of, render
from actors.audio.values import (
    AUDIBLE_HZ,
    CHANNELS,
    EARTH_YEAR_HZ,
    LIST_MAX_S,
    SAMPLE_RATE,
    SOLFEGGIO_HZ,
)
from actors.runtime.codec import invalid
from server.audio_devices import devices_of
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import auth_session, gateway_of, idempotency_key, json_response
from server.http.contract import STORAGE
from server.http.vajra_rendering import EACH, listed, places_of, stream
from server.http.vajra_sounds import BASE, GenerateBody, RenderQuery, SpectrumQuery, made_of, url_of
from server.sound.files import MEDIA

TAG: Final = "Vajra audio"
SUCCESS: Final = "success"


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """What was made. ``audio_data``: samples in -1..1, of a sound whose ears differ pairs of left and right."""

    status: Literal["success"] = SUCCESS
    audio_data: Annotated[
        list[float | Annotated[list[float], Meta(min_length=2, max_length=2)]] | None,
        Meta(description=f"null beyond {LIST_MAX_S} s: see `url`"),
    ]
    sample_rate: int
    channels: Annotated[int, Meta(description="1: both ears hear the same")]
    samples: Annotated[int, Meta(description="of each channel")]
    duration: float
    frequencies: Annotated[list[float], Meta(description="in Hz, as decided")]
    notes: Annotated[list[str], Meta(description="what is different from what one may expect")]
    url: Annotated[str, Meta(description="where the sound is streamed from, as WAV")]
    files: Annotated[dict[str, str], Meta(description="the same by format")]


class Presets(msgspec.Struct, frozen=True, kw_only=True):
    """Sounds that have a name; each is a body of ``generate`` but for its name and description."""

    status: Literal["success"] = SUCCESS
    presets: dict[str, Preset]
    count: int


class FrequencyRange(msgspec.Struct, frozen=True, kw_only=True):
    """From where to where, or which."""

    name: str
    description: str
    min: float | UnsetType = UNSET
    max: float | UnsetType = UNSET
    frequencies: list[float] | UnsetType = UNSET


class Ranges(msgspec.Struct, frozen=True, kw_only=True):
    """What may be asked for. ``min`` itself is not: every frequency is above 0."""

    status: Literal["success"] = SUCCESS
    min: float
    max: float
    ranges: dict[str, FrequencyRange]


class MeasuredSpectrum(msgspec.Struct, frozen=True, kw_only=True):
    """Measured from the samples that sound there, through a Hann window of ``window`` samples."""

    frequencies: Annotated[list[float], Meta(description="Hz of the peaks, the loudest first")]
    amplitudes: Annotated[list[float], Meta(description="theirs, linear: a sine's own peak value")]
    bands: Annotated[
        list[float], Meta(description=f"{spectra.BANDS} from 20 to 20,000 Hz, log-spaced; 0 is -80 dBFS, 1 full scale")
    ]
    position_s: float
    window: int
    sample_rate: int


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def generate(request: web.Request) -> web.StreamResponse:
    """The samples of a short sound, and where to stream any. It is what ``play`` plays next."""
    practitioner = str((await auth_session(request)).practitioner_id)
    idempotency_key(request)
    body = await body_of(request, GenerateBody)
    gateway = gateway_of(request)
    found = made_of(body, gateway.settings)
    devices_of(gateway).remember(practitioner, found.recipe)
    if body.duration > LIST_MAX_S:
        return json_response(_generated(body, found, None))
    return await listed(request, practitioner, lambda: _generated(body, found, _list(found.recipe)))


def _channels(recipe: Recipe) -> int:
    return CHANNELS if any(isinstance(voice, Binaural) for voice in recipe.voices) else 1


def _list(recipe: Recipe) -> Any:
    """(count,) where both ears hear the same, else (count, 2)."""
    samples = render(recipe, 0, frames_of(recipe))
    return samples if _channels(recipe) == CHANNELS else samples[:, 0].copy()


def _generated(body: GenerateBody, found: Made, samples: Any) -> bytes:
    files = {each: url_of(body, each) for each in MEDIA}
    answer = {
        "status": SUCCESS,
        "audio_data": samples,
        "sample_rate": SAMPLE_RATE,
        "channels": _channels(found.recipe),
        "samples": frames_of(found.recipe),
        "duration": body.duration,
        "frequencies": found.frequencies,
        "notes": found.notes,
        "url": files["wav"],
        "files": files,
    }
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


async def render_file(request: web.Request) -> web.StreamResponse:
    """The sound as a file, streamed."""
    practitioner = str((await auth_session(request)).practitioner_id)
    query = query_of(request, RenderQuery)
    found = made_of(query, gateway_of(request).settings)
    kind = "layers" if query.layers else query.type
    return await stream(request, practitioner, found.recipe, query.format, f"{kind}-{found.frequencies[0]:g}Hz")


async def render_spectrum(request: web.Request) -> web.Response:
    """The spectrum of a moment."""
    practitioner = str((await auth_session(request)).practitioner_id)
    query = query_of(request, SpectrumQuery)
    if query.position > query.duration:
        raise invalid("position", f"the sound ends at {query.duration:g} s")
    recipe = made_of(query, gateway_of(request).settings).recipe
    start = round(query.position * SAMPLE_RATE) - spectra.WINDOW // 2
    places = places_of(gateway_of(request)).short
    async with places.one(practitioner):
        measured = await places.work(lambda: spectra.spectrum(render(recipe, start, spectra.WINDOW), SAMPLE_RATE))
    rest = {"position_s": query.position, "window": spectra.WINDOW, "sample_rate": SAMPLE_RATE}
    return json_response(measured._asdict() | rest)


async def presets(request: web.Request) -> web.Response:
    """The named sounds."""
    await auth_session(request)
    return json_response(msgspec.json.encode(Presets(presets=PRESETS, count=len(PRESETS))))


async def frequency_ranges(request: web.Request) -> web.Response:
    """What may be asked for, and what people ask for."""
    await auth_session(request)
    blessing = [float(each) for each in gateway_of(request).settings.blessing_frequencies]
    ranges = RANGES | {"blessing": msgspec.structs.replace(_BLESSING, frequencies=blessing)}
    return json_response(msgspec.json.encode(Ranges(min=0.0, max=HEARD_HZ, ranges=ranges)))


_BLESSING: Final = FrequencyRange(name="Blessing chord", description="the setting BLESSING_FREQUENCIES")
RANGES: Final = {
    "pulse": FrequencyRange(
        name="Pulses",
        min=0.0,
        max=AUDIBLE_HZ,
        description="too low to be heard: they modulate the amplitude of a tone that can be",
    ),
    "audible": FrequencyRange(name="Audible", min=AUDIBLE_HZ, max=HEARD_HZ, description="what people hear"),
    "earth_resonance": FrequencyRange(
        name="Schumann resonances",
        frequencies=[7.83, 14.3, 20.8, 27.3, 33.8],
        description="of the cavity between the Earth and its ionosphere, as they are usually given",
    ),
    "earth_year": FrequencyRange(
        name="Earth year",
        frequencies=[round(EARTH_YEAR_HZ, 2)],
        description="32 octaves above the tropical year",
    ),
    "solfeggio": FrequencyRange(
        name="Solfeggio", frequencies=list(SOLFEGGIO_HZ), description="the nine that go by this name today"
    ),
}

_BELL: Final[dict[str, Any]] = {"type": "solfeggio", "frequency": 528.0}
OPERATIONS: Final = (
    Operation(
        method="POST",
        path=f"{BASE}/generate",
        handler=generate,
        summary="A sound as samples",
        description=f"Up to {LIST_MAX_S} s as the list `audio_data`; a longer one is null there, and `url` streams it."
        " Below 20 Hz a tone cannot be heard: it modulates another, and `notes` says so."
        f" With `layers` (up to {LAYERS_MAX}) sounds are heard together or cross over; a preset is a layer as it stands.",
        tag=TAG,
        body=GenerateBody,
        reply=Generated,
        errors=("rate_limited",),
        examples=(
            Example(name="generate", body={"type": "prayer_bowl", "frequency": 432.0, "duration": 300}),
            Example(
                name="generate_layers",
                body={
                    "duration": 600,
                    "layers": [
                        {"type": "prayer_bowl", "frequency": 136.1, "ends": 310, "fade_out": 20},
                        {"type": "chord", "frequencies": [264, 330, 396], "begins": 290, "fade_in": 20},
                        {"type": "binaural", "frequency": 200, "beat_frequency": 6, "volume": 0.3},
                    ],
                },
                note="a bowl that becomes a chord over 20 s, and a beat beneath both",
            ),
            Example(name="generate_list", body=_BELL | {"duration": 0.0005}, note="22 samples"),
        ),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/render",
        handler=render_file,
        summary="A sound as a file",
        description="Streamed as it is rendered, of any duration up to a day. A WAV beyond 4 GiB is RF64. Of a WAV, whose"
        " length is known before, a `Range` gives a part (206; 416 beyond its end), the other formats say `Accept-Ranges: none`."
        f" {EACH} at once are a practitioner's share.",
        tag=TAG,
        query=RenderQuery,
        media="audio/wav",
        more_media=("audio/flac", "audio/ogg"),
        reply_headers={"ETag": "of what sounds and its format", "Accept-Ranges": "`bytes` of a WAV, else `none`"},
        errors=("rate_limited", *STORAGE),
        examples=(Example(name="render", query={"type": "binaural", "duration": "0.01", "format": "wav"}),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/render/spectrum",
        handler=render_spectrum,
        summary="The spectrum of a moment of a sound",
        tag=TAG,
        query=SpectrumQuery,
        reply=MeasuredSpectrum,
        errors=("rate_limited", *STORAGE),
        examples=(Example(name="render_spectrum", query={"type": "solfeggio", "frequency": "528"}),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/presets",
        handler=presets,
        summary="Sounds that have a name",
        tag=TAG,
        reply=Presets,
        errors=STORAGE,
        examples=(Example(name="audio_presets"),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/frequencies/range",
        handler=frequency_ranges,
        summary="Frequencies that may be asked for",
        tag=TAG,
        reply=Ranges,
        errors=STORAGE,
        examples=(Example(name="frequency_ranges"),),
    ),
)
