"""``/api/v1/visuals``: figures and fields as SVG or PNG. They are formulas, nobody's: no login is needed to see one.

What a picture shows is decided by its address alone, so it may be kept by whoever fetched it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from actors.visuals.pictures import KINDS, SIZE_MAX, AnyPicture
from server.http.api import Example, Operation, query_of, routes_of
from server.http.asker import address_of
from server.http.context import json_response
from server.pictures import MEDIA, PER_MINUTE, Studio, tag_of

TAG: Final = "Vajra visuals"
PATH: Final = "/api/v1/visuals"
KEPT: Final = "public, max-age=86400"
"""A day: a new version of the server may draw finer."""
STUDIO: Final = web.AppKey("studio", Studio)
SUMMARIES: Final = {
    "flower_of_life": "Flower of life",
    "metatrons_cube": "Metatron's cube",
    "sri_yantra": "Sri Yantra",
    "cymatics": "Chladni's figure of a tone",
    "spectrogram": "Spectrogram of a sound",
    "color_field": "Colour fields",
}
_EXAMPLES: Final[dict[str, dict[str, str]]] = {
    "flower_of_life": {"rings": "2", "size": "256"},
    "metatrons_cube": {"ink": "2f6965", "size": "256"},
    "sri_yantra": {"size": "256"},
    "cymatics": {"frequency": "432", "plate": "circular", "format": "png", "size": "64"},
    "spectrogram": {"audio_type": "prayer_bowl", "frequency": "432", "seconds": "4", "format": "png", "size": "64"},
    "color_field": {"seed": "7", "size": "256"},
}


class Visual(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of picture."""

    kind: str
    name: str
    description: str
    url: str
    example: Annotated[str, Meta(description="a path that works")]
    parameters: Annotated[dict[str, dict[str, Any]], Meta(description="by name: JSON Schema of each, with its default")]


class Visuals(msgspec.Struct, frozen=True, kw_only=True):
    """What can be drawn."""

    status: str
    visuals: list[Visual]
    formats: list[str]
    size_max: int


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def visuals(_: web.Request) -> web.Response:
    """Every kind with its parameters."""
    kinds = [_described(kind, type_) for kind, type_ in KINDS.items()]
    reply = Visuals(status="success", visuals=kinds, formats=list(MEDIA), size_max=SIZE_MAX)
    return json_response(msgspec.json.encode(reply))


async def visual(request: web.Request, type_: type[AnyPicture]) -> web.Response:
    """A picture, or 304 where the asker has it."""
    picture = query_of(request, type_)
    headers = {"ETag": f'"{tag_of(picture)}"', "Cache-Control": KEPT}
    if any(each.value in (tag_of(picture), "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    ready = await request.app[STUDIO].made(picture, address_of(request))
    return web.Response(body=ready.body, content_type=ready.media, headers=headers)


def _handler(kind: str, type_: type[AnyPicture]) -> Callable[[web.Request], Coroutine[Any, Any, web.Response]]:
    """A handler of a kind's own, whose name is the kind's: the document names operations by it."""

    async def drawn(request: web.Request) -> web.Response:
        return await visual(request, type_)

    drawn.__name__ = kind
    return drawn


def _described(kind: str, type_: type[AnyPicture]) -> Visual:
    schema = msgspec.json.schema(type_)
    name = schema["$ref"].rpartition("/")[2]
    example = "&".join(f"{key}={value}" for key, value in _EXAMPLES[kind].items())
    return Visual(
        kind=kind,
        name=SUMMARIES[kind],
        description=" ".join((type_.__doc__ or "").split()),
        url=f"{PATH}/{kind}",
        example=f"{PATH}/{kind}?{example}",
        parameters=schema["$defs"][name]["properties"],
    )


OPERATIONS: Final = (
    Operation(
        method="GET",
        path=PATH,
        handler=visuals,
        summary="What can be drawn",
        tag=TAG,
        access="anyone",
        reply=Visuals,
        examples=(Example(name="visuals"),),
    ),
    *(
        Operation(
            method="GET",
            path=f"{PATH}/{kind}",
            handler=_handler(kind, type_),
            summary=SUMMARIES[kind],
            description=" ".join((type_.__doc__ or "").split()) + " The same URL is always the same picture;"
            f" {PER_MINUTE} a minute are drawn for an address.",
            tag=TAG,
            access="anyone",
            query=type_,
            media=MEDIA["svg"],
            more_media=(MEDIA["png"],),
            reply_headers={"ETag": "of what the address says", "Cache-Control": "how long it may be kept"},
            errors=("rate_limited",),
            examples=(Example(name=f"visual_{kind}", query=_EXAMPLES[kind]),),
        )
        for kind, type_ in KINDS.items()
    ),
)
