from __future__ import annotations

import pytest
from driving import uuid

from actors.runtime.errors import Conflict
from server.rituals import chosen, ritual_id

SELF, OTHER = uuid(1), uuid(2)
BUILTIN = {"id": uuid(10), "author_id": None}
MINE = {"id": uuid(11), "author_id": SELF}
OLDER = {"id": uuid(12), "author_id": SELF}
THEIRS = {"id": uuid(13), "author_id": OTHER}
ANOTHERS = {"id": uuid(14), "author_id": uuid(3)}


def test_a_built_in_ritual_has_its_name_before_all_others() -> None:
    assert chosen([THEIRS, MINE, BUILTIN], SELF, "dance") == BUILTIN


def test_ones_own_newest_comes_before_what_others_made_public() -> None:
    assert chosen([THEIRS, MINE, OLDER, ANOTHERS], SELF, "dance") == MINE


def test_the_only_public_one_is_meant_and_of_several_none() -> None:
    assert chosen([THEIRS], SELF, "dance") == THEIRS
    with pytest.raises(Conflict, match="2 public rituals are called 'dance'"):
        chosen([THEIRS, ANOTHERS], SELF, "dance")


def test_an_id_is_told_from_a_name_in_either_case() -> None:
    capital = "ABCDEF00-0000-4000-8000-000000000001"
    assert ritual_id(capital) == capital.lower()
    for name in ("dance", capital[:-1], capital + "0", capital + "\n", ""):
        assert ritual_id(name) is None
