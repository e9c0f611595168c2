"""Secrets at rest: AES-256-GCM, each sealed to the row and version it belongs to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from os import urandom
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
"""Random nonces are safe for 2**32 seals under one key.

Source: NIST SP 800-38D, section 8.3.
"""
_TOKEN_PLACE: Final = b"token:v1:%d:%d"
_MARK: Final = len(_FORMAT) + _KEY_ID_BYTES
_HEAD: Final = _MARK + _NONCE_BYTES


class SealBrokenError(Exception):
    """A sealed value that no configured key opens: wrong key, row, version or bytes."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the ring."""

    id: str
    """One to four ASCII characters, stored beside what the key sealed."""
    secret: bytes = field(repr=False)
    """32 bytes."""


class Sealed(Protocol):
    """A token whose secret is sealed."""

    @property
    def row_id(self) -> int:
        """Its row."""

    @property
    def version(self) -> int:
        """How many secrets it has had."""

    @property
    def sealed(self) -> bytes:
        """The secret, readable only at this row and version."""


class Keyring:
    """The first key seals, every key opens."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._ciphers = {_mark(key.id): AESGCM(key.secret) for key in keys}
        self._first = _mark(keys[0].id)

    def seal(self, secret: bytes, place: bytes) -> bytes:
        """The secret, readable only under this ring and at this place.

        Args:
            secret: What nobody may read.
            place: The identity of the row and its version, bound as associated data.
        """
        nonce = urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, secret, place)
        return b"".join((self._first, nonce, sealed))

    def open(self, blob: bytes, place: bytes) -> bytes:
        """The secret that was sealed at this place.

        Raises:
            SealBrokenError: No key opens it here; it is unreadable, not wrong.
        """
        cipher = self._ciphers.get(blob[:_MARK])
        if cipher is None or len(blob) <= _HEAD:
            raise SealBrokenError
        try:
            return cipher.decrypt(blob[_MARK:_HEAD], blob[_HEAD:], place)
        except InvalidTag:
            raise SealBrokenError from None

    def open_tokens(self, tokens: Iterable[Sealed]) -> list[bytes | None]:
        """The secrets of tokens; `None`: no key opens it.

        As `open` would, but in one go: a sweep opens every token there is.
        """
        opened: list[bytes | None] = []
        for token in tokens:
            blob: object = token.sealed
            if not isinstance(blob, bytes):  # SQLite keeps whatever it is given
                opened.append(None)
                continue
            cipher = self._ciphers.get(blob[:_MARK])
            if cipher is None or len(blob) <= _HEAD:
                opened.append(None)
                continue
            place = _TOKEN_PLACE % (token.row_id, token.version)
            try:
                secret = cipher.decrypt(blob[_MARK:_HEAD], blob[_HEAD:], place)
            except InvalidTag:
                opened.append(None)
            else:
                opened.append(secret)
        return opened


def token_place(row_id: int, version: int) -> bytes:
    """Where a token's secret belongs: its row and the version of the secret."""
    return _TOKEN_PLACE % (row_id, version)


def fingerprint(secret: str, key: bytes) -> bytes:
    """Tells whether two secrets are equal without revealing either."""
    digest = blake2b(secret.encode(), digest_size=16, key=key, person=b"fp-v1")
    return digest.digest()


def _mark(key_id: str) -> bytes:
    """How everything begins that this key sealed: the format and the key's id."""
    return _FORMAT + key_id.encode("ascii").ljust(_KEY_ID_BYTES, b"\0")
