"""strace: a process dies, or a disk fails, at exactly the Nth system call."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.faults.tools import Child
from tests.whole.tools import until


@contextmanager
def watched(child: Child, call: str, *inject: str) -> Iterator[Path]:
    """Let a held child go on under strace; the calls it makes are in the file.

    strace counts for each thread by itself. SQLite's commits are made by one thread,
    that of the only connection that writes, and letters leave by the main thread: of
    `sendto` only that one's are looked at, for others wake it by theirs.

    Args:
        child: Born held.
        call: The system call to look at.
        inject: What happens to it, in strace's words, such as `signal=KILL:when=3`.
    """
    trace = child.log.with_suffix(f".{call}")
    options = [] if call == "sendto" else ["-f"]
    options += [f"-e trace={call}", *(f"-e inject={call}:{each}" for each in inject)]
    # Who has not stopped yet would do so after our SIGCONT, and stay so.
    until(lambda: _state(child.pid) == "T", "the held child has stopped")
    process = _attach(child.pid, trace, " ".join(options).split())
    try:
        child.send(signal.SIGCONT)
        yield trace
    finally:
        child.kill()
        process.wait(timeout=30)


def calls(trace: Path) -> int:
    """How often the busiest thread made the call."""
    counts: dict[str, int] = {}
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        head, call, _ = line.partition("(")
        if call and "resumed>" not in head:
            thread = head.split()[0] if " " in head else ""
            counts[thread] = counts.get(thread, 0) + 1
    return max(counts.values(), default=0)


def _state(pid: int) -> str:
    """As in proc(5): the letter after the name, which may hold anything."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return stat.rpartition(")")[2].split()[0]


def _attach(pid: int, trace: Path, options: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["strace", "-q", "-o", trace, *options, "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    status = Path(f"/proc/{pid}/status")
    until(
        lambda: (
            process.poll() is not None
            or "TracerPid:\t0\n" not in status.read_text(encoding="ascii")
        ),
        "strace is attached",
    )
    return process


@cache
def why_not(folder: Path) -> str | None:
    """Why strace, which is installed, cannot be used here; `None` if it can.

    A container may forbid to trace another process, even to root.
    """
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as victim:
        options = ["-e", "trace=read,write", "-e", "inject=write:signal=KILL:when=1"]
        tracer = _attach(victim.pid, folder / "probe", options)
        try:
            if tracer.poll() is not None:
                return "strace may not attach to a process here"
            victim.communicate(b"\n", timeout=10)
        except subprocess.TimeoutExpired:
            return "strace attaches, and injects nothing"
        finally:
            victim.kill()
            tracer.kill()
            tracer.wait(timeout=10)
        if victim.returncode != -signal.SIGKILL:
            return "strace injects no signals here"
    return None


def needed(folder: Path) -> None:
    """Skip where strace cannot be used; fail where it was promised and is not there."""
    if shutil.which("strace") is None:
        if os.environ.get("REQUIRE_FAULT_TOOLS") == "1":
            pytest.fail("strace is not installed, and it is required here")
        pytest.skip("strace is not installed")
    if why := why_not(folder):
        pytest.skip(why)
