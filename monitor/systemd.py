"""systemd: how a service tells its manager that it is up, busy, alive or leaving."""

import os
import socket
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

_LONGEST: Final = 200
"""Characters of a status: it is shown on one line."""


class Manager:
    """Whoever started us and listens at `NOTIFY_SOCKET`; without one nobody is told.

    Source: sd_notify(3) and sd_watchdog_enabled(3), systemd 257, read 2026-11-24.
    """

    def __init__(
        self, address: str | None = None, watchdog: timedelta | None = None
    ) -> None:
        self._address = address
        self.watchdog = watchdog
        """Without a ping for so long we are taken for dead; `None`: never."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> "Manager":
        """Who listens to this process; a watchdog of another process is not ours."""
        address = environ.get("NOTIFY_SOCKET", "")
        micros = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog = None
        if ours and micros.isascii() and micros.isdecimal() and int(micros) > 0:
            watchdog = timedelta(microseconds=int(micros))
        # Other kinds, such as vsock:, are for virtual machines.
        return cls(address if address[:1] in {"/", "@"} else None, watchdog)

    def ready(self, status: str) -> None:
        """We are up, or up again after a reload."""
        self._say("READY=1", _status(status))

    def reloading(self) -> None:
        """We read the configuration again; `ready` follows in any case."""
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={micros}")

    def alive(self) -> None:
        """The ping of the watchdog."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """We finish what is in hand."""
        self._say("STOPPING=1", _status("finishing what is in hand"))

    def status(self, status: str) -> None:
        """A line for `systemctl status`."""
        self._say(_status(status))

    def _say(self, *facts: str) -> None:
        if self._address is None:
            return
        address = self._address
        if address.startswith("@"):  # a name that is no file
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
                door.settimeout(0)  # a manager that hangs must not hang us
                door.sendto("\n".join(facts).encode(), address)
        except OSError:
            return  # who does not listen cannot be told so either


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:_LONGEST]}"


def manager() -> Manager:
    """The manager of this process."""
    return Manager.from_environment(os.environ, os.getpid())
