"""Upgrades: what was known in an older schema is known in the newer one."""

from datetime import timedelta
from functools import partial

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from monitor.core.tokens import Introspection
from monitor.store import connect
from monitor.store.codec import encode
from monitor.store.database import HEAD, _open, upgrade_database
from monitor.store.instants import microseconds
from monitor.store.reports import TokenFilter
from monitor.store.seal import Keyring, token_place
from tests.store.builders import HOUR, NOW, due

KNOWN = Introspection(app_id="1", kind="user", user_id="7", scopes=("ads_read",))


def to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "monitor.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def test_the_first_schema_becomes_the_second_with_all_it_knew(
    database_url: str, keyring: Keyring
) -> None:
    database = _open(database_url)
    async with database.write() as connection:
        await connection.run_sync(partial(to, revision="0001"))
        at = microseconds(NOW)
        await connection.execute(
            text(
                "INSERT INTO tokens (row_id, id, app_id, owner_email, secret, "
                "fingerprint, known, severity, codes, verified_at, last_checked_at, "
                "life_seen_at, looks, known_print, policy, check_every, judged_by, "
                "urgency, next_check_at, fence, created_at) VALUES (5, 'north', '1', "
                "'ann@bakery.example', :secret, :secret, :known, 'ok', '', :at, :at, "
                ":at, 3, 9, 'default', 21600000000, 'x', 2, :at, 4, :at)"
            ),
            {
                "secret": keyring.seal(b"EAAB-north", token_place(5, 1)),
                "known": encode(KNOWN),
                "at": at,
            },
        )
        await connection.execute(
            text(
                "INSERT INTO checks (token_row, version, at, answer, severity, codes) "
                "VALUES (5, 1, :at, '{}', 'ok', '')"
            ),
            {"at": at},
        )
    await database.close()
    assert await upgrade_database(database_url) == ("0001", HEAD)
    async with connect(database_url, keyring) as store:
        (view,) = [v async for v in store.reports.tokens(TokenFilter())]
        assert (view.id, view.severity, view.looks) == ("north", "ok", 3)
        assert view.observation.known == KNOWN
        assert view.observation.verified_at == NOW
        assert len(await store.reports.history(5)) == 1, "history is kept"
        assert await due(store, NOW - timedelta(seconds=1), 5) == []
        (claim,) = await due(store, NOW + HOUR, 5)
        assert store.inventory.unseal([claim]) == [b"EAAB-north"]
        assert (claim.fence, claim.heard) == (5, None)
        assert await store.inventory.remove("north", "ops", NOW)
        assert await store.reports.history(5) == []


async def test_a_row_that_cannot_be_read_keeps_no_other_from_the_new_schema(
    any_url: str,
) -> None:
    database = _open(any_url)
    async with database.write() as connection:
        await connection.run_sync(partial(to, revision="0002"))
        at = microseconds(NOW)
        for row, known in enumerate((encode(KNOWN), '{"user_id":"8"', "")):
            values = {"row": row, "id": f"t-{row}", "known": known, "at": at}
            await connection.execute(
                text(
                    "INSERT INTO tokens (row_id, id, app_id, owner_email, secret, "
                    "fingerprint, created_at) VALUES (:row, :id, '1', "
                    "'ann@bakery.example', :secret, :print, :at)"
                ),
                {**values, "secret": b"x", "print": b"%d" % row},
            )
            await connection.execute(
                text(
                    "INSERT INTO introspections (token_row, known) "
                    "VALUES (:row, :known)"
                ),
                values,
            )
    await database.close()
    assert await upgrade_database(any_url) == ("0002", HEAD)
    database = _open(any_url)
    async with database.read() as connection:
        query = text("SELECT user_id FROM introspections WHERE token_row = 0")
        assert await connection.scalar(query) == "7"
    await database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def any_url(request: pytest.FixtureRequest, database_url: str) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return database_url
