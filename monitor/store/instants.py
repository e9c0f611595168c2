"""Instants as both databases keep them: microseconds since 1970, in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware instants in UTC, kept as microseconds since 1970 on both databases.

    SQLite's own DateTime stores 12:00+05:00 as 12:00 and reads it back naive. Whole
    numbers sort, compare and add alike on SQLite and PostgreSQL (ADR 0012).
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> int | None:
        """To the database; naive instants are refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a naive datetime has no place in the store")
        return microseconds(value)

    def process_result_value(
        self,
        value: int | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """From the database, always aware and in UTC."""
        return None if value is None else instant(value)


def microseconds(at: datetime) -> int:
    """The instant as the database keeps it: microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    """The instant that is so many microseconds after 1970."""
    # datetime.fromtimestamp would round through a float.
    return _EPOCH + timedelta(microseconds=microseconds)
