"""The AsyncAPI document is valid, says what the code says, and has an example of everything."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from actors.practitioner import pushes as practitioner_pushes
from actors.runtime.codec import tag_of
from actors.runtime.errors import CODES
from actors.space import showing, telling
from server import asyncapi
from server.settings import Settings
from server.ws import closing, examples, protocol, pushes, schemas
from server.ws.commands import COMMANDS
from server.ws.results import RESULTS

SPECIFICATION = Path(sys.prefix) / "node" / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
"""AsyncAPI's own, from npm: ``.ci/run`` installs it."""
DOCUMENT = asyncapi.document(Settings(_env_file=None), "1")
MESSAGES = DOCUMENT["components"]["messages"]


def test_the_document_is_asyncapi_3() -> None:
    specification = json.loads(SPECIFICATION.read_bytes())
    assert [error.message for error in Draft7Validator(specification).iter_errors(DOCUMENT)] == []


def test_every_reference_leads_somewhere() -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        found: Any = DOCUMENT
        for part in reference.split("/"):
            found = found[part]


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_request_has_a_result_and_an_operation_on_each_channel() -> None:
    assert RESULTS.keys() == protocol.REQUESTS.keys()
    for name in protocol.REQUESTS:
        for operation in (name, f"collective.{name}"):
            replies = DOCUMENT["operations"][operation]["reply"]["messages"]
            assert [reply["$ref"].rpartition("/")[2] for reply in replies] == [f"{name}.result", "error"]


def test_the_pushes_are_those_of_the_entities() -> None:
    assert pushes.EVENTS["space"].keys() == {event.__struct_config__.tag for event in showing.BODIES}
    published = set(re.findall(r'event="(\w+)"', inspect.getsource(practitioner_pushes)))
    assert pushes.EVENTS["practitioner"].keys() == published
    unnumbered = re.findall(r'Push\(event="(\w+)"', inspect.getsource(showing) + inspect.getsource(telling))
    assert pushes.LIVE.keys() == set(unnumbered)


def test_every_message_has_an_example() -> None:
    assert MESSAGES.keys() == examples.by_message().keys()
    assert [name for name, message in MESSAGES.items() if not message["examples"]] == []


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_is_as_described(name: str) -> None:
    validator = Draft202012Validator({**MESSAGES[name]["payload"], "components": DOCUMENT["components"]})
    for example in MESSAGES[name]["examples"]:
        validator.validate(example["payload"])


def test_the_document_has_the_domains_bounds_and_the_settings() -> None:
    described = schemas.requests(Settings(_env_file=None, history_page=7, participant_limit_max=9))
    create = described["SpaceCreate"]
    assert create["required"] == ["id", "type", "name", "purpose"]
    assert create["properties"]["name"]["maxLength"] == 100
    assert create["properties"]["participant_limit"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 12}
    assert described["SpaceInvite"]["properties"]["practitioner"]["pattern"].startswith("^[0-9a-f]{8}")
    assert described["SpaceRitualBegin"]["properties"]["starts_in_s"]["maximum"] == 3_600
    assert described["History"]["properties"]["limit"]["maximum"] == 7


@pytest.mark.parametrize("request_type", COMMANDS, ids=lambda type_: type_.__name__)
def test_a_requests_fields_are_its_commands(request_type: type[protocol.Request]) -> None:
    known = {field.name for field in msgspec.structs.fields(COMMANDS[request_type])}
    assert set(request_type.__struct_fields__) - {"id", "space"} <= known


def test_errors_and_close_codes_are_the_codes() -> None:
    assert DOCUMENT["x-error-codes"].keys() == CODES.keys()
    ours = {value for name, value in vars(closing).items() if name.isupper() and isinstance(value, int)}
    assert closing.MEANING.keys() == ours


def test_limits_are_the_settings() -> None:
    limits = asyncapi.document(Settings(_env_file=None, frame_bytes=4096), "1")["x-limits"]
    assert limits["frame_bytes"] == {"value": 4096, "description": "inbound WebSocket frame"}


def test_the_server_is_named_as_it_is_reached() -> None:
    public = asyncapi.document(Settings(_env_file=None, public_urls=("https://sangha.example",)), "1")
    assert [(each["host"], each["protocol"]) for each in public["servers"].values()] == [("sangha.example", "wss")]
    assert [(each["host"], each["protocol"]) for each in DOCUMENT["servers"].values()] == [("127.0.0.1:8080", "ws")]


def test_an_events_tag_is_the_name_of_its_push() -> None:
    assert tag_of(pushes.Bye(code="draining", retry_after_ms=1)) == "bye"
