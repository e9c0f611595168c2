"""Few fixtures: a clock that stands still, a store on a file, and a whole house."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.sandbox.clock import VirtualClock
from monitor.store import Store, connect
from monitor.store.seal import Key, Keyring
from tests.jobs.house import Builder
from tests.postgres import Server, any_server, none_found


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([Key("k1", b"\x01" * 32)])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A real PostgreSQL, started when the first test asks for it."""
    with any_server() as server:
        if server is None:
            none_found()
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """An empty database of its own for each test."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres_server.create(name)
    postgres_server.drop(name)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def store(database_url: str, keyring: Keyring) -> AsyncIterator[Store]:
    async with connect(database_url, keyring) as store:
        yield store


@pytest.fixture
async def house(
    store: Store, clock: VirtualClock, tmp_path: Path
) -> AsyncIterator[Builder]:
    """Builds a house on a simulated Graph and a real mailbox: `await house(...)`."""
    async with AsyncExitStack() as stack:
        yield Builder(stack, store, clock, tmp_path / "monitor.db")
