"""The fleet everybody asks about, the question they put, and what an answer cost."""

import hashlib
import hmac
import json
import os
import resource
import sys
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import quote_plus

APP: Final = "1234567890"
SECRET: Final = "benchmark-secret"
VERSION: Final = "v25.0"
BATCH: Final = 50
"""The most items of one batch. Source: Graph API, "Batch Requests", read 2026-11-23."""
NAME: Final = "EAAG00N%08dZ"
"""How a token begins; the stand-in reads the number back."""
_LETTERS: Final = 185
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is to do, as the command line of that process."""

    kind: str
    url: str = ""
    """Of the stand-in Graph."""
    count: int = 0
    """Tokens."""
    workers: int = 8
    folder: str = ""
    """Where the contender has its database and configuration."""
    database: str = ""
    """The URL of its PostgreSQL database, if it has one."""
    core: int | None = None
    """The one core it may use; `None`: any."""
    ahead: int = 0
    """How many hours the product's clock is ahead, so that known tokens are due."""

    @classmethod
    def read(cls) -> Self:
        """The job of this process; from then on it keeps to its core."""
        job = cls(**json.loads(sys.argv[1]))
        pin(job.core)
        return job

    def text(self) -> str:
        """The job as an argument."""
        return json.dumps(asdict(self))

    @property
    def home(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)


@dataclass(slots=True)
class Cost:
    """What it took; told by the contender itself, so its start is not counted."""

    tokens: int = 0
    wall: float = 0.0
    """Seconds."""
    cpu: float = 0.0
    """Seconds of this process, in all its threads."""
    peak: float = 0.0
    """The most memory the process ever held, in MB."""
    began_at: float = 0.0
    ended_at: float = 0.0
    """On the machine's monotonic clock, which all processes share."""
    busy: float = 0.0
    """The stand-in's share of a core meanwhile; near 1, it was the bottleneck."""

    def tell(self) -> None:
        """Hand the cost to whoever started this process."""
        self.peak = peak_mb()
        print(json.dumps(asdict(self)), flush=True)


class Meter:
    """Measures what happens inside the `with`."""

    def __init__(self) -> None:
        self.cost = Cost()
        self._cpu = 0.0

    def __enter__(self) -> Cost:
        self.cost.began_at = time.perf_counter()
        self._cpu = cpu_seconds()
        return self.cost

    def __exit__(self, *_: object) -> None:
        self.cost.ended_at = time.perf_counter()
        self.cost.wall = self.cost.ended_at - self.cost.began_at
        self.cost.cpu = cpu_seconds() - self._cpu


def cpu_seconds() -> float:
    """The CPU time this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """The most memory this process held; `ru_maxrss` would count its parent's too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cores() -> tuple[int | None, int | None]:
    """A core for the stand-in and one for contenders; none are kept on one core."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    mine = sorted(os.sched_getaffinity(0))
    return (mine[-1], mine[0]) if len(mine) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process to one core."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def tokens(count: int) -> Iterator[str]:
    """The texts of the fleet's tokens, always the same."""
    for number in range(count):
        name = NAME % number
        raw = hashlib.shake_256(name.encode()).digest(_LETTERS)
        yield name + b64encode(raw, b"Zz").decode()[: _LETTERS - len(name)]


def chunks(source: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """What comes, in lists of a size."""
    turn = iter(source)
    while chunk := list(islice(turn, size)):
        yield chunk


def app_token() -> str:
    """The caller's own token."""
    return f"{APP}|{SECRET}"


def proof() -> str:
    """The proof that the caller has the secret."""
    return hmac.new(SECRET.encode(), app_token().encode(), hashlib.sha256).hexdigest()


_PROOF: Final = proof()
_HEAD: Final = quote_plus('{"method":"GET","relative_url":"debug_token?input_token=')
_TAIL: Final = quote_plus(f'&appsecret_proof={_PROOF}"}}') + "%2C"
_BETWEEN: Final = _TAIL + _HEAD
_END: Final = f"{_TAIL[:-3]}%5D&appsecret_proof={_PROOF}"


def form_of(texts: Sequence[str]) -> bytes:
    """The question about a batch, byte for byte what the product asks."""
    return f"batch=%5B{_HEAD}{_BETWEEN.join(texts)}{_END}".encode()
