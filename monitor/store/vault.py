"""The vault: keys of our own, made once, kept sealed, never shown."""

import secrets

from sqlalchemy import insert, select

from monitor.errors import ConfigurationError
from monitor.store.seal import Keyring, SealBrokenError
from monitor.store.tables import vault
from monitor.store.transactions import Database, take_turns


class OwnKey:
    """A key nobody configures."""

    def __init__(
        self, database: Database, keyring: Keyring, name: str, signs: str
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._name = name
        self._signs = signs
        self._opened: bytes | None = None

    async def get(self) -> bytes:
        """The key; the first who asks makes it.

        Raises:
            ConfigurationError: None of the configured keys opens it.
        """
        if self._opened is None:
            self._opened = await self._read() or await self._made()
        return self._opened

    async def known(self) -> bytes | None:
        """The key; `None`: nobody has made it, so nothing is signed by it.

        Raises:
            ConfigurationError: None of the configured keys opens it.
        """
        if self._opened is None:
            self._opened = await self._read()
        return self._opened

    async def _read(self) -> bytes | None:
        query = select(vault.c.sealed).where(vault.c.name == self._name)
        async with self._database.read() as connection:
            sealed = await connection.scalar(query)
        return None if sealed is None else self._open(sealed)

    async def _made(self) -> bytes:
        """Replicas may come together: one makes it, the others find it made."""
        query = select(vault.c.sealed).where(vault.c.name == self._name)
        async with self._database.write() as connection:
            await take_turns(connection, self._name)
            sealed = await connection.scalar(query)
            if sealed is not None:
                return self._open(sealed)
            key = secrets.token_bytes(32)
            row = {"name": self._name, "sealed": self._keyring.seal(key, self._place)}
            await connection.execute(insert(vault).values(row))
        return key

    @property
    def _place(self) -> bytes:
        return b"vault:" + self._name.encode()

    def _open(self, sealed: bytes) -> bytes:
        try:
            return self._keyring.open(sealed, self._place)
        except SealBrokenError:
            raise ConfigurationError(
                f"keys: none of the configured keys opens what signs {self._signs}; "
                "name the key it was made with"
            ) from None
