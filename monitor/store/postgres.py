"""PostgreSQL: one database for any number of daemons, through psycopg."""

from typing import Any, Final

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.errors import ConfigurationError
from monitor.store.transactions import Database

_CONNECTIONS: Final = 6
"""The most connections of one process."""
_ARGUMENTS: Final = {
    # Poolers that hand sessions around do not know another's prepared statements.
    "prepare_threshold": None,
    "application_name": "token-monitor",
    "connect_timeout": 10,
    # A server that vanished without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def open_postgres(parsed: URL) -> Database:
    """Open nothing yet: connections are made when they are needed, and made anew.

    Raises:
        ConfigurationError: The driver is not installed, or the URL names no database.
    """
    if not parsed.database:
        raise ConfigurationError(
            "database: name the database too, such as postgresql://user@host/monitor"
        )
    target = parsed.set(drivername="postgresql+psycopg")
    given = target.normalized_query
    arguments: dict[str, Any] = {
        name: value for name, value in _ARGUMENTS.items() if name not in given
    }
    try:
        engine = create_async_engine(
            target,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=60,
            # A connection that died while it lay idle is replaced, not handed out.
            pool_pre_ping=True,
            pool_recycle=1800,
            # SQLAlchemy prints bound parameters in its errors otherwise.
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            connect_args=arguments,
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "database: PostgreSQL needs psycopg: "
            "pip install 'token-health-monitor[postgres]'"
        ) from None
    reader = engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    return Database(engine, reader)
