"""README.md's tables say what the code says: settings, dependencies, commands, wire. And what it points to is there."""

from __future__ import annotations

import inspect
import json
import os
import re
import tomllib
from importlib.metadata import distributions, metadata
from itertools import chain
from types import SimpleNamespace
from typing import cast, get_args

import pytest
import typer
from msgspec.structs import asdict
from readme import ROOT, TEXT, blocks, blocks_of, names_in, settings_rows, table_of

from actors.eustress.values import Policy
from actors.practitioner import pushes
from actors.practitioner.changes import CHANGES
from actors.runtime.errors import CODES
from actors.space.entity import _BODY
from actors.space.group import Stage
from server import cli
from server.gateway import Gateway
from server.http import app
from server.http.problems import STATUS
from server.settings import Settings
from server.ws import closing
from server.ws.protocol import REQUESTS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def first_names(section: str) -> list[str]:
    """What stands in backticks in the first cells of a section's tables."""
    return [name for row in table_of(section) for name in names_in(row[0])]


def test_the_table_of_settings_is_the_codes() -> None:
    assert ["| " + " | ".join(row) + " |" for row in table_of("Settings")] == settings_rows()[2:]


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_dependencies_are_those_of_the_project() -> None:
    declared = [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]
    assert first_names("Dependencies") == [re.match(r"[\w.-]+", line)[0] for line in declared]  # type: ignore[index]


@pytest.mark.parametrize("row", table_of("Dependencies"), ids=lambda row: row[0])
def test_a_dependency_has_its_licence_and_a_reason(row: list[str]) -> None:
    name, licence, reason = names_in(row[0])[0], row[1], row[2]
    assert reason
    stated = metadata(name).get("License-Expression")
    if stated is not None:
        assert licence == stated


def test_nothing_that_is_installed_is_under_the_agpl() -> None:
    fields = ("License-Expression", "License", "Classifier")
    guilty = [
        found.name
        for found in distributions()
        for field in fields
        for text in found.metadata.get_all(field) or ()
        if re.search(r"AGPL|Affero", text)
    ]
    assert guilty == []


def commands(app: typer.Typer, prefix: str) -> list[str]:
    """Every command of an app, and those of its groups."""
    named = [info.name or info.callback.__name__ for info in app.registered_commands if info.callback is not None]
    found = [f"{prefix} {name}" for name in named]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += [f"{prefix} {group.name}", *commands(group.typer_instance, f"{prefix} {group.name}")]
    return found


def test_every_command_is_in_the_table_of_commands() -> None:
    assert sorted(first_names("Commands")) == sorted(commands(cli.app, "sangha"))


def test_every_option_of_serve_is_named() -> None:
    row = next(row for row in table_of("Commands") if "serve" in row[0])
    options = [name for name in names_in(row[1]) if name.startswith("--")]
    serve = typer.main.get_command(cli.app).commands["serve"]  # type: ignore[attr-defined]
    assert sorted(options) == sorted(p.opts[0] for p in serve.params)


def test_the_requests_are_those_of_the_protocol() -> None:
    assert sorted(first_names("Requests")) == sorted(REQUESTS)
    for name, *cells in table_of("Requests"):
        fields = set(REQUESTS[names_in(name)[0]].__struct_fields__) - {"id"}
        named = {word.rstrip("?") for word in names_in(cells[0]) if re.fullmatch(r"[a-z_]+\??", word)}
        if "any of the above" not in cells[0]:
            assert named - {"invite", "open", "private"} == fields, name


def test_the_pushes_are_those_of_the_entities() -> None:
    streams = {names_in(row[0])[0]: names_in(row[1]) for row in table_of("Pushes") if len(row) == 3}
    assert sorted(streams["space:UUID"]) == sorted(event.__struct_config__.tag for event in _BODY)
    assert sorted(streams["practitioner:UUID"]) == sorted(re.findall(r'event="(\w+)"', inspect.getsource(pushes)))


def test_the_errors_are_those_of_the_code() -> None:
    rows = {names_in(code)[0]: (int(status), retry == "yes") for code, status, retry, _ in table_of("Errors")}
    assert rows == {code: (STATUS[code], error.retryable) for code, error in CODES.items()}


def test_the_close_codes_are_those_of_the_code() -> None:
    ours = {value for name, value in vars(closing).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in first_names("Close codes")} == ours | {1009}  # the last is aiohttp's own answer


def test_the_http_requests_are_those_of_the_code() -> None:
    served = app.build(cast(Gateway, SimpleNamespace(settings=Settings()))).router.routes()
    named = {f"{route.method} {route.resource.canonical}" for route in served if route.resource is not None}
    requests = {name for name in named if not name.startswith("HEAD ")}
    assert set(first_names("HTTP")) == requests - {f"GET {path}" for path in app.SOCKETS}


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(
        r"(?<![\w/.])(?:actors|server|storage|tests|\.ci|\.deploy|\.pictures)/[\w./-]*|ray_cluster\.yaml", TEXT
    )
    assert [path for path in named if not (ROOT / path.rstrip(".")).exists()] == []


def test_every_link_within_it_leads_to_a_heading_and_every_chapter_is_in_the_contents() -> None:
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^(#+) (.+)$", prose, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for _, title in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", prose)) - anchors == set()
    contents = prose[: prose.index("\n## ")]
    assert [title for depth, title in headings if depth == "##" and f"[{title}](#" not in contents] == []


def test_there_is_no_machine_of_its_authors_in_it() -> None:
    assert re.findall(r"/(?:work|tmp|root|home)\b\S*", TEXT) == []


def test_every_example_is_run_by_a_test() -> None:
    run = {
        "Two commands", "A first conversation", "In Python", "In the browser's console", "From the terminal", "Twelve at once",
        "With an account", "Accounts", "A first ritual", "What runs, where", "A ritual in WAT", "A ritual in C",
        "A ritual in the catalog", "A group ritual", "State and its chain", "A Ray cluster", "Figures", "The JavaScript client",
        "A first scene", "What is where", "Whole scenes", "The ingest client", "Epochs and training", "Watching a scene",
        "Sound and sky",
    }  # fmt: skip
    assert {block.section for block in blocks() if block.language in ("sh", "python", "js")} == run


def test_the_stages_of_a_group_ritual_and_the_changes_of_a_state_are_those_of_the_code() -> None:
    stages = [names_in(row[0])[0] for row in table_of("A group ritual") if len(row) == 3]
    assert stages == [stage for stage in get_args(Stage) if stage != "aborting"]
    rows = {names_in(row[0])[0]: set(names_in(row[1])) for row in table_of("State and its chain")}
    assert rows == {name: set(parameters.__struct_fields__) for name, (parameters, _) in CHANGES.items()}


def test_the_policies_of_a_eustress_space_are_those_of_the_code() -> None:
    rows = {names_in(row[0])[0]: row[1].strip("`") for row in table_of("Policies")}
    assert rows == {name: json.dumps(default).strip('"') for name, default in asdict(Policy()).items()}


def test_the_example_of_training_is_the_one_that_is_tested() -> None:
    (block,) = blocks_of("Epochs and training", "python")
    assert block.text == (ROOT / "tests/integration/eustress_training_example.py").read_text(encoding="utf-8")


def test_the_second_command_is_the_projects_check() -> None:
    assert [block.text for block in blocks_of("Two commands", "sh")][1] == "bash .ci/run\n"
    assert os.access(ROOT / ".ci" / "run", os.R_OK)
