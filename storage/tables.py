"""The tables that entities keep true, and the folding of a batch's rows into one write a row. Pure.

A row names the columns that are new; those it does not name stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from actors.runtime.entity import Delete, Upsert
from storage.pool import BadValue


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table's shape, as far as Python needs it; the migrations have the whole."""

    columns: frozenset[str]
    required: frozenset[str]
    unique: frozenset[str] = frozenset()
    sealed: frozenset[str] = frozenset()
    """jsonb columns that hold an envelope as a JSON string where a key is set."""
    sealed_text: frozenset[str] = frozenset()
    """text columns that hold ``sealed:`` and an envelope where a key is set."""
    references: Mapping[str, str] = {}
    """Column → the table that it refers to, checked when a batch commits. What refers to a practitioner goes with them."""
    insert_only: bool = False
    """A row is written once; an upsert of one that is there aborts."""


def _table(
    columns: str,
    required: str,
    *,
    unique: str = "",
    sealed: str = "",
    sealed_text: str = "",
    references: Mapping[str, str] | None = None,
    insert_only: bool = False,
) -> Table:
    return Table(
        columns=frozenset(columns.split()),
        required=frozenset(required.split()),
        unique=frozenset(unique.split()),
        sealed=frozenset(sealed.split()),
        sealed_text=frozenset(sealed_text.split()),
        references=references or {},
        insert_only=insert_only,
    )


TABLES: Final[Mapping[str, Table]] = {
    "archetypal_states": _table(
        "id practitioner_id state_data archetypes energies integrations symbols transformations state_hash created_at"
        " version prev_hash origin session_id",
        "id practitioner_id state_data archetypes energies version",
        sealed="state_data archetypes energies integrations symbols transformations",
        references={"practitioner_id": "practitioners"},
        insert_only=True,
    ),
    "audio_sessions": _table(
        "id owner_id space_id name intention status duration audio_type frequencies prayer_bowl_mode metadata volume"
        " astrology_enabled hardware_enabled visuals_enabled device published position_s anchor_at recipe notes created_at"
        " updated_at started_at stopped_at expires_at device_error",
        "id owner_id duration audio_type frequencies volume recipe",
        sealed="metadata",
        sealed_text="name intention",
    ),
    "audio_voices": _table(
        "id device practitioner_id session_id begins_at ends_at",
        "id device practitioner_id begins_at ends_at",
    ),
    "auth_sessions": _table(
        "id practitioner_id token_hash created_at expires_at revoked_at service name",
        "id practitioner_id token_hash expires_at",
        unique="token_hash",
        references={"practitioner_id": "practitioners"},
    ),
    "collective_spaces": _table(
        "id name purpose tradition facilitator_id participant_limit current_participants shared_state ritual_schedule"
        " access_level created_at slug closed_at updated_at",
        "id name purpose",
        unique="slug",
        sealed="shared_state",  # has a group's collective state, which of a group of one is that one's
    ),
    "eustress_archives": _table(
        "id space_name from_version to_version from_time to_time files created_at",
        "id space_name from_version to_version to_time files",
    ),
    "eustress_epochs": _table(
        "id space_name snapshot_ids start_time end_time sample_count stats created_at consolidated_into",
        "id space_name snapshot_ids start_time end_time sample_count stats",
    ),
    "eustress_markers": _table(
        "id space_name version timestamp reason metadata created_at", "id space_name version timestamp reason metadata"
    ),
    "eustress_spaces": _table(
        "id created_at changed_at version entity_count connection_count sacred_count hierarchy_depth scene_bytes"
        " entities_seen changes unresolved snapshots last_snapshot policy horizon",
        "id created_at changed_at version policy",
    ),
    "oracle_insights": _table(
        "id session_id insight_type archetypal_analysis integration_suggestions symbolic_emergence oracle_model"
        " confidence_score created_at practitioner_id space_id interpretation cautions next_rituals notice",
        "id",
        sealed="archetypal_analysis integration_suggestions symbolic_emergence cautions next_rituals",
        sealed_text="interpretation",
        references={"session_id": "ritual_sessions", "practitioner_id": "practitioners"},
        insert_only=True,
    ),
    "prayer_accumulations": _table(
        "id practitioner_id mantra intention rotations began_at updated_at dedicated_at dedication dedication_id",
        "id practitioner_id mantra began_at",
        sealed_text="mantra intention dedication",
        references={"practitioner_id": "prayer_wheels"},
    ),
    "prayer_wheels": _table(
        "id rotations created_at updated_at spinning rate_mrpm spin_began_at spin_ends_at spin_angle",
        "id created_at",
    ),
    "practitioners": _table(
        "id email password_hash spiritual_name archetypal_preferences energy_alignments privacy_level sacred_path"
        " created_at updated_at oracle_consent",
        "id email password_hash",
        unique="email",
        sealed="archetypal_preferences energy_alignments",
    ),
    "ritual_sessions": _table(
        "id practitioner_id ritual_id pre_state_id post_state_id execution_duration_ms transformation_intensity"
        " subjective_experience ai_interpretation integration_notes effectiveness_rating created_at status error_code"
        " error_message intention parameters participants module_hash fuel result group_id space_id ended_at",
        "id practitioner_id ritual_id",
        sealed="parameters result",
        sealed_text="subjective_experience ai_interpretation integration_notes error_message intention",
        references={
            "practitioner_id": "practitioners",
            "pre_state_id": "archetypal_states",
            "post_state_id": "archetypal_states",
        },
    ),
    "sacred_rituals": _table(
        "id name description intent tradition difficulty_level required_archetypes energy_requirements wasm_module_data"
        " wasm_module_hash module_language author_id usage_count effectiveness_rating is_public created_at abi"
        " rating_count builtin withdrawn_at updated_at module_bytes",
        "id name description intent",
    ),
    "space_members": _table(
        "id space_id practitioner_id participant known_at departed_at",
        "id space_id practitioner_id",
    ),
}


class TableWrites(msgspec.Struct, kw_only=True):
    """What a batch does to one table: first the deletes, then the upserts, both in the order of their ids."""

    table: str
    deletes: list[str]
    upserts: list[dict[str, Any]]


def coalesce(rows: Iterable[Upsert | Delete]) -> list[TableWrites]:
    """One write a row, in (table, id) order, so that two shards never wait for each other in a circle.

    Raises BadValue for a table or column that does not exist, or a row without its id.
    """
    final: dict[tuple[str, str], dict[str, Any]] = {}
    deleted: set[tuple[str, str]] = set()
    for row in rows:
        if isinstance(row, Upsert):
            key = (row.table, _checked_id(row))
            final.setdefault(key, {}).update(row.values)
        else:
            key = (row.table, row.id)
            deleted.add(key)
            final.pop(key, None)
    writes: dict[str, TableWrites] = {}
    for table in sorted({table for table, _ in deleted | final.keys()}):
        if table not in TABLES:
            raise BadValue(f"no table {table}")
        writes[table] = TableWrites(table=table, deletes=[], upserts=[])
    for table, row_id in sorted(deleted):
        writes[table].deletes.append(row_id)
    for table, row_id in sorted(final):
        writes[table].upserts.append(final[table, row_id])
    return list(writes.values())


def _checked_id(row: Upsert) -> str:
    table = TABLES.get(row.table)
    if table is None:
        raise BadValue(f"no table {row.table}")
    strange = row.values.keys() - table.columns
    if strange or row.values.get("id") is None:
        raise BadValue(f"{row.table}: {'no column ' + ', '.join(sorted(strange)) if strange else 'no id'}")
    return str(row.values["id"])
