"""What systemd hears, on a real socket."""

import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.systemd import Manager


@pytest.fixture(params=["file", "abstract"])
def listener(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "file" else f"@{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(name.replace("@", "\0", 1) if name[0] == "@" else name)
        door.settimeout(5)
        yield name, door


def heard(door: socket.socket) -> list[str]:
    return door.recv(4096).decode().split("\n")


def test_each_word_arrives(listener: tuple[str, socket.socket]) -> None:
    name, door = listener
    manager = Manager(name)
    manager.ready("watches\n2 apps")
    assert heard(door) == ["READY=1", "STATUS=watches 2 apps"]
    before = time.monotonic_ns() // 1000
    manager.reloading()
    word, stamp = heard(door)
    assert word == "RELOADING=1"
    # notify-reload compares it with its own clock.
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= before + 5_000_000
    manager.alive()
    assert heard(door) == ["WATCHDOG=1"]
    manager.status("a" * 1000)
    assert heard(door) == ["STATUS=" + "a" * 200]
    manager.stopping()
    assert heard(door)[0] == "STOPPING=1"


def test_who_does_not_listen_stops_nobody(tmp_path: Path) -> None:
    Manager().ready("alone")
    Manager(str(tmp_path / "nobody")).ready("alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "full"))
        for _ in range(2000):  # nobody reads: its queue is full long before
            Manager(str(tmp_path / "full")).alive()


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "4000000"}, timedelta(seconds=4)),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}, timedelta(seconds=4)),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_of_the_environment(
    environ: dict[str, str], watchdog: timedelta | None
) -> None:
    assert Manager.from_environment(environ, 7).watchdog == watchdog


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/name"])
def test_an_address_we_cannot_use_is_nobody(address: str) -> None:
    manager = Manager.from_environment({"NOTIFY_SOCKET": address}, os.getpid())
    manager.ready("alone")
