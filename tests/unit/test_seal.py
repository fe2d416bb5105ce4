"""Sealing: what opens, and what must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.seal import CannotUnseal, Sealer, Unsealed, from_text, is_sealed, to_text

NEW, OLD = b"n" * 32, b"o" * 32
PLACE = ("journal", "a", 1)


@given(data=st.binary(), row_id=st.text(), seq=st.integers(0, 2**63))
def test_what_was_sealed_opens_in_its_place(data: bytes, row_id: str, seq: int) -> None:
    sealer = Sealer(NEW)
    envelope = sealer.seal(data, "journal", row_id, seq)
    assert is_sealed(envelope)
    assert sealer.unseal(envelope, "journal", row_id, seq) == data
    assert from_text(to_text(envelope)) == envelope


@pytest.mark.parametrize("place", [("checkpoints", "a", 1), ("journal", "b", 1), ("journal", "a", 2)])
def test_an_envelope_does_not_open_in_another_place(place: tuple[str, str, int]) -> None:
    sealer = Sealer(NEW)
    with pytest.raises(CannotUnseal):
        sealer.unseal(sealer.seal(b"{}", *PLACE), *place)


def test_an_envelope_with_any_byte_changed_does_not_open() -> None:
    sealer = Sealer(NEW)
    envelope = sealer.seal(b"{}", *PLACE)
    for at in range(1, len(envelope)):
        damaged = bytearray(envelope)
        damaged[at] ^= 1
        with pytest.raises(CannotUnseal):
            sealer.unseal(bytes(damaged), *PLACE)
    for end in range(1, len(envelope)):
        with pytest.raises(CannotUnseal):
            sealer.unseal(envelope[:end], *PLACE)


def test_old_keys_stay_readable_and_new_envelopes_have_the_new_key() -> None:
    before, after = Sealer(OLD), Sealer(NEW, [OLD])
    envelope = before.seal(b"{}", *PLACE)
    assert after.unseal(envelope, *PLACE) == b"{}"
    assert not after.current(envelope)
    assert after.current(after.seal(b"{}", *PLACE))
    with pytest.raises(CannotUnseal, match="not configured"):
        before.unseal(after.seal(b"{}", *PLACE), *PLACE)


def test_unsealed_data_passes_through() -> None:
    assert Sealer(NEW).unseal(b'{"a":1}', *PLACE) == b'{"a":1}'
    assert Unsealed().unseal(Unsealed().seal(b"{}", *PLACE), *PLACE) == b"{}"


def test_sealed_data_without_a_key_is_an_error() -> None:
    with pytest.raises(CannotUnseal, match="no key"):
        Unsealed().unseal(Sealer(NEW).seal(b"{}", *PLACE), *PLACE)


def test_the_same_data_is_never_sealed_alike() -> None:
    sealer = Sealer(NEW)
    assert sealer.seal(b"{}", *PLACE) != sealer.seal(b"{}", *PLACE)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")


def test_text_that_is_no_envelope_is_an_error() -> None:
    with pytest.raises(CannotUnseal):
        from_text("not base64!")
