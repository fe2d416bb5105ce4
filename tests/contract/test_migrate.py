"""Migrations against a real server, and what a connection insists on."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from databases import dsn_of

from actors.runtime.ports import StoreDown
from storage.migrate import SchemaTooNew, SchemaTooOld, migrate, migrations, require_current, schema_version
from storage.migrate import _apply as apply
from storage.pool import BadValue, LazyConnection, UnusableDatabase, connect
from storage.rows import UNSEALED, opened
from storage.statements import statement
from storage.tables import TABLES


async def test_migrating_again_or_at_once_changes_nothing(database: str) -> None:
    assert await asyncio.gather(migrate(database), migrate(database)) == [len(migrations())] * 2


async def test_concurrent_first_migrations_wait_for_each_other(database: str) -> None:
    connection = await connect(database, application_name="test")
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(SchemaTooOld):
        await require_current(connection)
    await asyncio.gather(*(migrate(database) for _ in range(4)))
    assert await schema_version(connection) == len(migrations())
    await require_current(connection)
    await connection.close()


async def test_a_newer_schema_is_refused(database: str) -> None:
    connection = await connect(database, application_name="test")
    await connection.execute("INSERT INTO schema_migrations (version, name) VALUES (9999, 'future')")
    with pytest.raises(SchemaTooNew):
        await migrate(database)
    with pytest.raises(SchemaTooNew):
        await require_current(connection)
    await connection.close()


async def test_a_migration_that_fails_leaves_nothing(database: str) -> None:
    connection = await connect(database, application_name="test")
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE alarms (x int)")
    with pytest.raises(UnusableDatabase):
        await migrate(database)
    assert await schema_version(connection) == 0
    assert await connection.fetchval("SELECT to_regclass('journal')") is None
    await connection.close()


async def test_the_seeds_columns_are_there_under_their_names(database: str) -> None:
    connection = await connect(database, application_name="test")
    seeds = {
        "practitioners": "id email password_hash spiritual_name archetypal_preferences energy_alignments privacy_level"
        " sacred_path created_at",
        "collective_spaces": "id name purpose tradition facilitator_id participant_limit current_participants shared_state"
        " ritual_schedule access_level created_at",
        "archetypal_states": "id practitioner_id state_data archetypes energies integrations symbols transformations"
        " state_hash created_at",
        "sacred_rituals": "id name description intent tradition difficulty_level required_archetypes energy_requirements"
        " wasm_module_data wasm_module_hash module_language author_id usage_count effectiveness_rating is_public created_at",
        "ritual_sessions": "id practitioner_id ritual_id pre_state_id post_state_id execution_duration_ms"
        " transformation_intensity subjective_experience ai_interpretation integration_notes effectiveness_rating created_at",
        "oracle_insights": "id session_id insight_type archetypal_analysis integration_suggestions symbolic_emergence"
        " oracle_model confidence_score created_at",
    }
    for table, columns in seeds.items():
        rows = await connection.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = $1", table)
        assert set(columns.split()) <= {row["column_name"] for row in rows}
    await connection.close()


async def test_what_python_knows_of_a_table_is_what_the_table_has(database: str) -> None:
    connection = await connect(database, application_name="test")
    for name, table in TABLES.items():
        rows = await connection.fetch(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1", name
        )
        types = {row["column_name"]: row["data_type"] for row in rows}
        assert table.columns == types.keys(), name
        assert {types[column] for column in table.sealed} <= {"jsonb"}, name
        assert {types[column] for column in table.sealed_text} <= {"text"}, name
        written = statement(f"rows/{name}.upsert")
        assert table.insert_only or all(f" {column} = " in written for column in table.columns - {"id"}), name
    await connection.close()


async def test_a_database_of_before_rituals_keeps_its_data(database: str) -> None:
    connection = await connect(database, application_name="test")
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    for migration in migrations()[:3]:
        await apply(connection, migration)
    await connection.execute(
        """INSERT INTO practitioners (id, email, password_hash, archetypal_preferences)
               VALUES ('5e4ad1c0-0000-4000-8000-000000000001', 'a@example.org', 'h', '"AQ=="'), (DEFAULT, 'b@c.d', 'h', '{}');
           INSERT INTO journal (kind, entity_id, seq, at, event_type, format, data)
               VALUES ('practitioner', '5e4ad1c0-0000-4000-8000-000000000001', 1, now(), 'registered', 1, '{}');
           INSERT INTO collective_spaces (name, purpose, shared_state)
               VALUES ('a', 'p', to_jsonb(repeat('shared "text" ä', 20))), ('b', 'p', '{"a": "b"}')"""
    )
    assert await migrate(database) == len(migrations())
    rows = await connection.fetch("SELECT * FROM practitioners ORDER BY email")
    assert [(row["email"], row["archetypal_preferences"], row["oracle_consent"]) for row in rows] == [
        ("a@example.org", "AQ==", False),
        ("b@c.d", {}, False),
    ]
    assert await connection.fetchval("SELECT count(*) FROM journal") == 1
    spaces = await connection.fetch("SELECT id::text AS id, shared_state FROM collective_spaces ORDER BY name")
    shared = [opened(space, "collective_spaces", UNSEALED)["shared_state"] for space in spaces]
    assert shared == ['shared "text" ä' * 20, {"a": "b"}]
    await connection.execute(
        """INSERT INTO archetypal_states (practitioner_id, state_data, archetypes, energies, version)
               SELECT id, '{}', '{}', '{}', 1 FROM practitioners"""
    )
    await connection.close()


async def test_a_connection_commits_durably_whatever_the_database_says(database: str) -> None:
    connection = await connect(database, application_name="test")
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    await connection.close()
    connection = await connect(database, application_name="test")
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
    await connection.close()


async def test_a_missing_database_is_for_the_operator_and_a_missing_server_for_a_retry(postgres_dsn: str) -> None:
    with pytest.raises(UnusableDatabase):
        await connect(dsn_of(postgres_dsn, "none"), application_name="test")
    with pytest.raises(StoreDown):
        await connect("postgresql://nobody@127.0.0.1:1/none", application_name="test")


async def test_json_goes_there_and_back(database: str) -> None:
    connection = await connect(database, application_name="test")
    value = {"a": [1, 2.5, None, "ü"], "b": {}}
    assert await connection.fetchval("SELECT $1::jsonb", value) == value
    assert await connection.fetchval("SELECT $1::jsonb", b'{"raw":true}') == {"raw": True}
    for bad in ({"x": float("nan")}, {"x": "\0"}):
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval("SELECT $1::jsonb", bad)
    await connection.close()


async def test_a_bad_value_is_told_from_a_server_that_is_down(database: str) -> None:
    reader = LazyConnection(database, application_name="test")
    with pytest.raises(BadValue):
        await reader.fetch("SELECT $1::text", "a\0b")
    with pytest.raises(StoreDown):
        await reader.fetch("SELECT * FROM no_such_table")
    assert await reader.fetchrow("SELECT 1 WHERE false") is None
    await reader.close()


async def test_a_cancelled_read_does_not_spoil_the_next(database: str) -> None:
    reader = LazyConnection(database, application_name="test")
    assert await reader.fetch("SELECT 1")
    slow = asyncio.create_task(reader.fetch("SELECT pg_sleep(5)"))
    await asyncio.sleep(0)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert await reader.fetch("SELECT 1")
    await reader.close()
