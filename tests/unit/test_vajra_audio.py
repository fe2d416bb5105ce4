"""What ``/api/v1/audio`` says of itself: a valid document, and addresses that are the sound again."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import msgspec
import openapi_spec_validator
import pytest

from actors.audio.presets import Defaults, Layer
from server.http import vajra_audio
from server.http.documents import document_of
from server.http.vajra_sounds import GenerateBody, RenderQuery, defaults_of, made_of
from server.settings import Settings

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


def test_the_document_of_its_operations_is_valid() -> None:
    made = document_of(vajra_audio.OPERATIONS, SETTINGS)
    openapi_spec_validator.validate(made)
    files = made["paths"]["/api/v1/audio/render"]["get"]["responses"]["200"]["content"]
    assert list(files) == ["audio/wav", "audio/flac", "audio/ogg"]


def test_the_settings_defaults_are_the_sounds() -> None:
    assert defaults_of(SETTINGS) == Defaults()


@pytest.mark.parametrize(
    "body",
    [
        GenerateBody(),
        GenerateBody(intention="peace", frequency=99.5, prayer_bowl_mode=False),
        GenerateBody(type="chord", frequencies=[7.83, 528.0, 639.0], volume=0.8, pure_sine=True),
        GenerateBody(type="binaural", base_frequency=300.0, beat_frequency=4.0, frequency=1.0),
        GenerateBody(layers=(Layer(type="binaural", frequency=200.0), Layer(begins=3.0, fade_in=2.5, volume=0.3))),
        GenerateBody(harmonic_strength=0.1, modulation_depth=0.9, duration=86_400.0),
    ],
)
def test_the_address_of_a_sound_is_that_sound(body: GenerateBody) -> None:
    found = msgspec.json.decode(vajra_audio._generated(body, made_of(body, SETTINGS), None))
    assert found["url"] == found["files"]["wav"]
    for format_, url in found["files"].items():
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        assert path == "/api/v1/audio/render"
        flat = {name: value if name == "frequencies" else value[0] for name, value in query.items()}
        again = msgspec.convert(flat, RenderQuery, strict=False)
        assert again.format == format_
        assert made_of(again, SETTINGS) == made_of(body, SETTINGS)
