"""Processes: the stand-in on its core, and contenders on the other."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from benchmarks.fleet import Cost, Job, cores

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 2_000
"""So much of a failed contender's complaint is shown."""


@dataclass(frozen=True, slots=True)
class Stand:
    """The stand-in Graph, running."""

    url: str

    def cpu(self) -> float:
        """The CPU time it has used."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/_stats") as reply:
            told: dict[str, float] = json.load(reply)
        return told["cpu"]


@contextmanager
def stand_in(latency: str = "0") -> Iterator[Stand]:
    """Have a stand-in Graph that answers after a latency."""
    command = [sys.executable, "-m", "benchmarks.graph", "--latency", latency]
    core, _ = cores()
    if core is not None:
        command += ["--core", str(core)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        out = server.stdout
        yield Stand("" if out is None else out.readline().strip())
    finally:
        server.terminate()
        server.wait()


def run(module: str, job: Job, stand: Stand | None = None) -> Cost:
    """Run one contender to its end."""
    before = stand.cpu() if stand else 0.0
    with _children(module, job, 1) as (child,):
        cost = _told(child)
    if stand and cost.wall:
        cost.busy = (stand.cpu() - before) / cost.wall
    if job.kind not in {"make", "imports"} and cost.tokens != job.count:
        raise SystemExit(f"{module} {job.kind}: {cost.tokens} of {job.count} tokens")
    return cost


def run_replicas(job: Job, replicas: int, stand: Stand) -> Cost:
    """Several replicas of the product at once, on any core; what all of them cost."""
    job = replace(job, kind="due", core=None)
    before = stand.cpu()
    with _children("benchmarks.product", job, replicas) as children:
        for child in children:
            if _line(child) != "ready":
                raise SystemExit(f"a replica did not start:\n{child.complaint()}")
        for child in children:
            child.go()
        costs = [_told(child) for child in children]
    total = Cost(
        sum(cost.tokens for cost in costs),
        max(cost.ended_at for cost in costs) - min(cost.began_at for cost in costs),
        sum(cost.cpu for cost in costs),
        max(cost.peak for cost in costs),
    )
    total.busy = (stand.cpu() - before) / total.wall
    if total.tokens != job.count:
        raise SystemExit(f"{replicas} replicas: {total.tokens} of {job.count} tokens")
    return total


@dataclass(slots=True)
class _Child:
    """A process that does a job."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def go(self) -> None:
        """Let a replica that is ready begin."""
        if self.process.stdin is not None:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def complaint(self) -> str:
        """The end of what it wrote to its standard error."""
        self.errors.seek(0)
        return self.errors.read()[-_LONGEST:]


@contextmanager
def _children(module: str, job: Job, count: int) -> Iterator[list[_Child]]:
    command = [sys.executable, "-m", module, job.text()]
    with ExitStack() as stack:
        children = []
        for _ in range(count):
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            children.append(_Child(process, errors))
        yield children


def _told(child: _Child) -> Cost:
    line = _line(child)
    if not line:
        raise SystemExit(f"a contender failed:\n{child.complaint()}")
    return Cost(**json.loads(line))


def _line(child: _Child) -> str:
    """The next line it says; nothing, when it is over."""
    out = child.process.stdout
    return "" if out is None else out.readline().strip()
