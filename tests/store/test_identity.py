"""A database file that is out of reach for a moment is trouble that passes."""

from pathlib import Path

import pytest

from monitor.errors import UnavailableError
from monitor.store import Store


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/monitor.db"


async def test_a_folder_that_cannot_be_reached_passes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = Path.stat

    def stale(path: Path, **how: bool) -> object:
        if path.name == "monitor.db":
            raise OSError(116, "Stale file handle")
        return reached(path, **how)

    monkeypatch.setattr(Path, "stat", stale)
    for transaction in (store.database.write, store.database.read):
        with pytest.raises(UnavailableError, match="moved or removed"):
            async with transaction() as connection:
                await connection.exec_driver_sql("SELECT 1")
    monkeypatch.undo()
    async with store.database.write() as connection:
        await connection.exec_driver_sql("SELECT 1")
