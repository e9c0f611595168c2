"""Gives birth to commands: imports are paid for once, each child is its own process.

Reads orders from standard input, a line of JSON each, and answers each by a line.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_PRELOADED = (
    "aiosqlite",
    "alembic.command",
    "apscheduler.schedulers.asyncio",
    "apscheduler.triggers.interval",
    "monitor.app",
    "monitor.cli.configuring",
    "monitor.cli.working",
    "monitor.daemon",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
)


def _live(folder: str, log: str, arguments: list[str], *, held: bool) -> int:
    """Be the command, from its first line to its exit code."""
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDONLY)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((null, 0), (said, 1), (said, 2)):
        os.dup2(old, new)
    if held:
        os.kill(os.getpid(), signal.SIGSTOP)  # until somebody watches us
    sys.argv = ["token-monitor", *arguments]
    from monitor.cli import main  # noqa: PLC0415 - what was planted comes first

    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _born(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = _live(
            order["folder"], order["log"], order["arguments"], held=order["held"]
        )
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


def _ended(pid: int) -> int | None:
    """The exit code of a child, a signal's negative; `None`: it lives."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def main() -> None:
    """Serve until standard input ends; then no child is left."""
    for name in _PRELOADED:
        with suppress(ModuleNotFoundError):
            __import__(name)
    if len(sys.argv) > 1:
        planted = Path(sys.argv[1])
        exec(compile(planted.read_text(encoding="utf-8"), planted, "exec"), {})  # noqa: S102 - a test's own
    children: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "ended" in order:
            answer = _ended(order["ended"])
            if answer is not None:
                children.discard(order["ended"])
        else:
            answer = _born(order)
            children.add(answer)
        print(json.dumps(answer), flush=True)  # noqa: T201 - to who gave the order
    for child in children:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
