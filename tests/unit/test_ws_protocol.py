from __future__ import annotations

import gc
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.errors import FieldError, Invalid
from actors.runtime.wire import Refused
from server.ws import protocol as p


def parse(frame: object, depth: int = 32) -> p.Request:
    return p.parse(json.dumps(frame).encode(), depth).request


def test_a_known_request_is_parsed_and_unknown_fields_are_ignored() -> None:
    assert parse({"id": 1, "type": "space.join", "space": "hall", "new": 1}) == p.SpaceJoin(id=1, space="hall")


@pytest.mark.parametrize("id_", [None, 0, -1, 2**53, 1.5, True, "1", [1]])
def test_an_id_that_is_none_is_malformed(id_: object) -> None:
    with pytest.raises(p.Malformed) as refused:
        parse({"id": id_, "type": "ping"})
    assert refused.value.id is None


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff", b'{"id":1e999}', b'{"id":NaN}', b'"\\ud800"']
)
def test_what_is_no_object_is_malformed(data: bytes) -> None:
    with pytest.raises(p.Malformed):
        p.parse(data, 32)


@pytest.mark.parametrize("type_", [None, 3, "dance", ["ping"]])
def test_an_unknown_type_is_malformed_but_keeps_its_id(type_: object) -> None:
    with pytest.raises(p.Malformed) as refused:
        parse({"id": 7, "type": type_})
    assert refused.value.id == 7


@pytest.mark.parametrize(
    ("frame", "path"),
    [
        ({"type": "space.join"}, "space"),
        ({"type": "space.join", "space": 3}, "space"),
        ({"type": "space.join", "space": "x", "after": "y"}, "after"),
        ({"type": "eustress.subscribe", "space": "x" * 201}, "space"),
        ({"type": "eustress.unsubscribe", "space": "a\nb"}, "space"),
        ({"type": "eustress.ingest", "space": ""}, "space"),
        ({"type": "eustress.ingest", "space": "x", "entities": [{"id": "a\0"}]}, "entities.0.id"),
        ({"type": "space.send", "space": "x"}, "body"),
        ({"type": "auth", "resume": {"session": "x", "offsets": {"a": "b"}}}, "resume.offsets[...]"),
        ({"type": "space.send", "space": "x", "body": {"a": [1, "\0"]}}, "body.a.1"),
        ({"type": "space.send", "space": "x", "body": {"a": {"\0": 1}}}, "body.a"),
    ],
)
def test_a_wrong_value_is_invalid_with_its_path(frame: dict[str, object], path: str) -> None:
    with pytest.raises(p.Rejected) as refused:
        parse({"id": 3, **frame})
    assert refused.value.id == 3
    assert refused.value.error.code == "invalid"
    assert [each.path for each in refused.value.error.errors] == [path]


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    request = parse({"id": 1, "type": "space.send", "space": "x", "body": "\\u0000"})
    assert bytes(request.body) == rb'"\\u0000"'  # type: ignore[attr-defined]


def test_a_large_frame_is_read_without_the_collector_which_is_back_afterwards() -> None:
    body = [[]] * 20_000
    request = parse({"id": 1, "type": "space.send", "space": "x", "body": body})
    assert json.loads(bytes(request.body)) == body  # type: ignore[attr-defined]
    assert gc.isenabled()
    with pytest.raises(p.Malformed):
        p.parse(b"[" * p.COLLECTED_BYTES, 32)
    assert gc.isenabled()


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_is_bounded_exactly_and_brackets_in_strings_do_not_count() -> None:
    parse({"id": 1, "type": "space.send", "space": "x", "body": nested(31)})
    with pytest.raises(p.Rejected):
        parse({"id": 1, "type": "space.send", "space": "x", "body": nested(32)})
    parse({"id": 1, "type": "space.send", "space": "x", "body": "[" * 500})


@given(
    st.recursive(
        st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    )
)
def test_depth_is_what_recursion_says(value: object) -> None:
    def depth(item: object) -> int:
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    for limit in range(1, 6):
        assert p.deeper_than(json.dumps(value).encode(), limit) == (depth(value) > limit)


def test_equal_requests_have_equal_digests_whatever_the_order_of_fields() -> None:
    a = p.parse(b'{"id":1,"type":"space.send","space":"x","body":{"a":1,"b":2}}', 32)
    b = p.parse(b'{"body":{"b":2,"a":1},"space":"x","type":"space.send","id":1}', 32)
    c = p.parse(b'{"body":{"b":2,"a":2},"space":"x","type":"space.send","id":1}', 32)
    assert a.digest == b.digest != c.digest


def test_the_domains_fields_are_those_that_were_given() -> None:
    request = parse({"id": 1, "type": "space.update", "space": "x", "tradition": None, "name": "n", "odd": 1})
    assert p.domain_fields(request) == {"tradition": None, "name": "n"}


def test_the_name_of_a_ritual_is_for_the_look_up_and_no_field_of_the_command() -> None:
    request = parse({"id": 1, "type": "space.ritual.begin", "space": "x", "ritual": "dance", "starts_in_s": 3})
    assert p.domain_fields(request) == {"starts_in_s": 3}


@pytest.mark.parametrize("type_", ["ritual.run", "state.get", "state.transform", "state.history", "state.reflection"])
def test_requests_about_ones_own_state_are_known_as_such(type_: str) -> None:
    assert isinstance(parse({"id": 1, "type": type_, "ritual": "dance"}), p.OwnRequest)


def test_results_and_errors_are_json() -> None:
    assert json.loads(p.result(7, b'{"a":1}')) == {"id": 7, "type": "result", "result": {"a": 1}}
    failure = Invalid("bad", (FieldError("x", "no"),))
    assert json.loads(p.error(7, failure)) == {
        "id": 7,
        "type": "error",
        "error": {"code": "invalid", "message": "bad", "retryable": False, "errors": [{"path": "x", "message": "no"}]},
    }
    assert "id" not in json.loads(p.error(None, failure))


def test_a_refusal_keeps_code_message_and_paths() -> None:
    failure = p.from_refused(Refused(1, "invalid", "bad", (("x", "no"),)))
    assert (failure.code, failure.message, failure.errors) == ("invalid", "bad", (FieldError("x", "no"),))
    assert p.from_refused(Refused(1, "never heard of", "x")).code == "internal"


def test_a_snapshot_gets_its_type_and_reason() -> None:
    frame = json.loads(p.snapshot(b'{"stream":"space:x","offset":3,"state":{}}', "gap"))
    assert frame == {"type": "snapshot", "stream": "space:x", "offset": 3, "state": {}, "reason": "gap"}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
def test_frames_have_the_lengths_of_rfc_6455(size: int) -> None:
    frame = p.text_frame(b"x" * size)
    assert frame[0] == 0x81
    head = {True: 2, size > 125: 4, size > 65535: 10}[True]
    declared = frame[1] if head == 2 else int.from_bytes(frame[2:head], "big")
    assert (declared, len(frame)) == (size, head + size)


def test_a_close_frame_has_code_and_a_reason_that_fits() -> None:
    frame = p.close_frame(4008, "x" * 200)
    assert frame[:4] == b"\x88\x7d" + (4008).to_bytes(2, "big")
    assert len(frame) == 127
