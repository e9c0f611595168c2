"""Trouble: what the database's own words mean to whoever has to mend it."""

from typing import Final

_SQLITE: Final = {
    "SQLITE_FULL": "free space on its disk",
    "SQLITE_IOERR": "see the system's log about its disk",
    "SQLITE_BUSY": "end whatever else has the file open",
    "SQLITE_LOCKED": "end whatever else has the file open",
    "SQLITE_CANTOPEN": "is its folder there, and may we write in it?",
    "SQLITE_READONLY": "may we write to the file, and is its disk mounted so?",
    "SQLITE_PERM": "may we write to the file?",
    "SQLITE_CORRUPT": "stop, and restore the file from a copy",
    "SQLITE_NOTADB": "stop, and restore the file from a copy",
    "SQLITE_ERROR": "is it a file of ours?",
}
"""By result code; the extended ones begin with these names.

Source: SQLite, "Result and Error Codes", read 2026-11-24.
"""
_POSTGRES: Final = {
    "08": "is the server up, and can it be reached?",
    "25": "it reads only; does the URL name the primary?",
    "28": "may this role log in? see database in monitor.yaml",
    "3D": "does the database exist? see database in monitor.yaml",
    "53": "give the server more room or connections",
    "55": "end whatever holds its locks",
    "57": "the server is stopping or starting",
    "58": "see the server's log about its disk",
    "XX": "see the server's log",
}
"""By the class of the state.

Source: PostgreSQL, "PostgreSQL Error Codes", read 2026-11-24.
"""
_NO_STATE: Final = "is the server up, and can it be reached?"
"""psycopg has no state to tell where there was no server to say one."""


def advice(error: BaseException | None) -> str:
    """What to do about a driver's error; empty if we do not know.

    >>> import sqlite3
    >>> error = sqlite3.OperationalError("database or disk is full")
    >>> error.sqlite_errorname = "SQLITE_FULL"
    >>> advice(error)
    'free space on its disk'
    """
    name = getattr(error, "sqlite_errorname", None)
    if isinstance(name, str):
        words = (_SQLITE[known] for known in _SQLITE if name.startswith(known))
        return next(words, "")
    state = getattr(error, "sqlstate", "")
    return _NO_STATE if state is None else _POSTGRES.get(state[:2], "")
