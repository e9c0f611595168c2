"""What SQLite and PostgreSQL say differently: rows as a parameter, upserts, queues."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from msgspec import json
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Subquery,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from monitor.store.transactions import POSTGRESQL

_Statement = TypeVar("_Statement")
Insert: TypeAlias = sqlite.Insert | postgresql.Insert


class ByDialect(Generic[_Statement]):
    """A statement that each database says in its own words; built once for each."""

    def __init__(self, build: Callable[[str], _Statement]) -> None:
        self._build = build
        self._built: dict[str, _Statement] = {}

    def on(self, connection: AsyncConnection) -> _Statement:
        """The statement for the database behind this connection."""
        name = connection.dialect.name
        built = self._built.get(name)
        if built is None:
            built = self._built[name] = self._build(name)
        return built


def insert_on(table: Table, connection: AsyncConnection) -> Insert:
    """An insert that knows `ON CONFLICT`, which both write alike."""
    return insert_in(table, connection.dialect.name)


def insert_in(table: Table, dialect: str) -> Insert:
    """The same for a dialect by its name."""
    if dialect == POSTGRESQL:
        return postgresql.insert(table)
    return sqlite.insert(table)


ROWS: Final = "rows"
"""The name of the parameter that holds rows handed to a statement."""

WHOLE: Final = BigInteger()
WORDS: Final = Text()


def given(dialect: str, **columns: TypeEngine[Any]) -> Subquery:
    """Rows as one parameter, whatever their number: a table to join and select from.

    A thousand parameters of their own cost more than the statement. The parameter is
    what `pack` makes of a list of rows with these columns, in this order.
    """
    if dialect == POSTGRESQL:
        row = func.json_array_elements(
            cast(bindparam(ROWS, type_=Text), JSON)
        ).column_valued("row")
        parts: list[ColumnElement[Any]] = [
            cast(row.op("->>")(place), kind)
            for place, kind in enumerate(columns.values())
        ]
    else:
        value = func.json_each(bindparam(ROWS)).table_valued("value").c.value
        parts = [
            type_coerce(func.json_extract(value, f"$[{place}]"), kind)
            for place, kind in enumerate(columns.values())
        ]
    named = [part.label(name) for part, name in zip(parts, columns, strict=True)]
    return select(*named).subquery("given")


def pack(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as the parameter of a statement made with `given`."""
    return json.encode(rows).decode()


def pack_ids(ids: Iterable[int | str]) -> str:
    """One column as the parameter of a statement made with `given`."""
    return json.encode([(each,) for each in ids]).decode()
