"""The built-in rituals, ready to be uploaded. Each is a WAT file beside this module: readable, and its own documentation.

``ritual_id`` follows from the name and the source, so a changed source is another ritual and recorded runs of the old one
can still be replayed. Not pure: it reads its files and compiles them.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from actors.ritual.commands import Difficulty, Upload
from actors.ritual.values import NAMESPACE, Abi
from actors.runtime.entity import Struct

_INCLUDE: Final = re.compile(r"^ *;;@include (?P<file>[a-z_]+\.wat)\n", re.MULTILINE)


class Builtin(Struct, frozen=True, kw_only=True):
    """One of Sangha's own rituals."""

    name: str
    abi: Abi
    description: str
    intent: str
    tradition: str
    difficulty_level: Difficulty = "beginner"
    required_archetypes: tuple[str, ...] = ()
    energy_requirements: Mapping[str, float] = {}

    def wat(self) -> str:
        """The whole source."""
        return source(f"{self.name}.wat")

    @property
    def documentation(self) -> str:
        """What the source says of itself in its first lines."""
        return "\n".join(line[2:].removeprefix(" ") for line in self.wat().partition("\n(module")[0].splitlines())


@cache
def source(file: str) -> str:
    """A WAT file of this package, whole."""
    return with_includes((files(__package__) / file).read_text(encoding="utf-8"))


def with_includes(text: str) -> str:
    """The text with this package's FILE in place of each line ``;;@include FILE``."""
    return _INCLUDE.sub(lambda line: source(line["file"]), text)


def ritual_id(builtin: Builtin) -> str:
    """Of this very source."""
    digest = hashlib.sha256(builtin.wat().encode()).hexdigest()
    return str(uuid.uuid5(NAMESPACE, f"builtin:{builtin.name}:{digest}"))


def upload_command(builtin: Builtin) -> Upload:
    """What makes it a ritual of the catalog, public and without an author."""
    import wasmtime  # every gateway looks at its start which rituals are missing, and almost none has to compile one

    module = bytes(wasmtime.wat2wasm(builtin.wat()))
    return Upload(
        name=builtin.name,
        description=f"{builtin.description}\n\n{builtin.documentation}",
        intent=builtin.intent,
        tradition=builtin.tradition,
        difficulty_level=builtin.difficulty_level,
        required_archetypes=builtin.required_archetypes,
        energy_requirements=builtin.energy_requirements,
        module_language="wat",
        is_public=True,
        module=module,
        module_hash=hashlib.sha256(module).hexdigest(),
        abi=builtin.abi,
    )


_ALL: Final = (
    Builtin(
        name="shadow_integration",
        abi="codex",
        description="Light and Shadow come towards each other; where they meet, a mandala appears.",
        intent="To own what was kept in the dark, without giving up what shines.",
        tradition="jungian",
        difficulty_level="intermediate",
        required_archetypes=("Light", "Shadow"),
    ),
    Builtin(
        name="archetype_invocation",
        abi="sangha-1",
        description='An archetype of one\'s choice (the parameter "archetype") comes half of the way to its full strength.',
        intent="To let a quality in that is needed now.",
        tradition="jungian",
    ),
    Builtin(
        name="energy_attunement",
        abi="codex",
        description="Fire, water, earth and air come half of the way to their mean; close together they are a quaternity.",
        intent="To let the elements hear each other.",
        tradition="alchemical",
        energy_requirements={"fire": 0.05, "water": 0.05, "earth": 0.05, "air": 0.05},
    ),
    Builtin(
        name="void_contemplation",
        abi="codex",
        description="The Self grows as Light and Shadow fade a little; something is seen in the stillness, and chance says what.",
        intent="To rest where nothing has to be.",
        tradition="contemplative",
        difficulty_level="advanced",
        required_archetypes=("Self",),
    ),
    Builtin(
        name="energy_integration",
        abi="sangha-1",
        description="Where there is more energy than can be held, all energies shrink alike until their total is 4.5.",
        intent="To gather in what overflows, and to stand on the ground again.",
        tradition="alchemical",
    ),
    Builtin(
        name="transformation_completion",
        abi="sangha-1",
        description="What has been under way longest is completed and becomes an integration, until at most two stay open.",
        intent="To end what has been begun.",
        tradition="shamanic",
        difficulty_level="intermediate",
    ),
)
BUILTINS: Final[Mapping[str, Builtin]] = MappingProxyType({builtin.name: builtin for builtin in _ALL})
"""By name."""
