"""How quick letters are, beside the least that anybody does who writes mail in Python.

    python benchmarks/letters.py [--letters 2000] [--rounds 5]

Composing: the product makes words of facts, dresses them, and serialises. The bare
loop has the words ready, and only builds an `EmailMessage` of them and serialises it.
Handing over: eight connections to a server on another core. The product composes and
sends by its `Mailer`; the bare loop builds the same messages and sends them with
aiosmtplib. The ratios of one run are what counts.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email import policy
from email.message import EmailMessage
from pathlib import Path
from statistics import median
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import aiosmtplib  # noqa: E402 - the path comes first

from benchmarks.fleet import cores, pin  # noqa: E402 - as above
from monitor.core.attempt import Outcome  # noqa: E402 - as above
from monitor.core.delivery import Letter  # noqa: E402 - as above
from monitor.core.incident import Reason  # noqa: E402 - as above
from monitor.core.tokens import KINDS, Code  # noqa: E402 - as above
from monitor.notify.compose import Composed, Composer  # noqa: E402 - as above
from monitor.notify.email import Mailer  # noqa: E402 - as above
from monitor.notify.samples import (  # noqa: E402 - as above
    sample_item,
    sample_letter,
    sample_now,
)
from monitor.notify.server import Server, Tls  # noqa: E402 - as above

SENDER: Final = "Acme Publisher <tokens@acme.example>"
DESK: Final = "support@acme.example"
LINES: Final = 8
_CODES: Final = (
    Code.EXPIRING,
    Code.EXPIRED,
    Code.PASSWORD_CHANGED,
    Code.REVOKED,
    Code.SCOPES_MISSING,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of so many letters."""

    wall: float
    cpu: float


def fleet(count: int) -> list[Letter]:
    """Letters to so many owners, each with his own names; causes and kinds differ."""
    made = []
    for number in range(count):
        code, kind = _CODES[number % len(_CODES)], KINDS[number % len(KINDS)]
        reason = Reason.REMINDER if number % 4 == 0 else Reason.OPENED
        item = replace(
            sample_item(code, kind, reason),
            name=f"Bakery {number}",
            token_id=f"page-{number}",
            incident=f"I-{number:06x}",
            reauthorize_url=f"https://app.acme.example/connect?token=page-{number}",
        )
        letter = replace(
            sample_letter(item),
            id=f"L-{number:06x}",
            message_id=f"<{number:06x}.5d2c91@acme.example>",
            to=f"owner-{number}@bakery.example",
            name=f"Jane Doe {number}",
        )
        made.append(letter)
    return made


def bare(letter: Letter, words: Composed) -> EmailMessage:
    """The same message, its words ready, as the standard library builds it."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = SENDER
    message["To"] = letter.to
    message["Reply-To"] = DESK
    message["Subject"] = words.subject
    message["Date"] = sample_now()
    message["Message-ID"] = letter.message_id
    message["Auto-Submitted"] = "auto-generated"
    message["List-Id"] = "<token-monitor.acme.example>"
    message["X-Token-Monitor-Incident"] = letter.items[0].incident
    message["X-Token-Monitor-Reason"] = letter.items[0].reason.value
    message.set_content(words.text)
    message.add_alternative(words.html, subtype="html")
    return message


def _timed(work: Callable[[], None]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def composing(letters: Sequence[Letter], rounds: int) -> None:
    """Composed and serialised, each in turn."""
    composer, now = Composer(SENDER, DESK), sample_now()
    words = [composer.compose(letter, now) for letter in letters]

    def ours() -> None:
        for letter in letters:
            composer.compose(letter, now)

    def theirs() -> None:
        for letter, written in zip(letters, words, strict=True):
            bare(letter, written).as_bytes()

    _compare("composed and serialised", len(letters), rounds, ours, theirs)


def delivering(letters: Sequence[Letter], rounds: int) -> None:
    """Handed over by eight connections, each in turn."""
    composer, now = Composer(SENDER, DESK), sample_now()
    words = [composer.compose(letter, now) for letter in letters]

    async def ours(port: int) -> None:
        server = Server("127.0.0.1", port, Tls.NONE, local_hostname="bench")
        left = iter(letters)

        async def line() -> None:
            mailer = Mailer(server)
            for letter in left:
                written = composer.compose(letter, now)
                attempt = await mailer.send(
                    composer.envelope_from, written.envelope_to, written.raw
                )
                if attempt is None or attempt.outcome is not Outcome.SENT:
                    raise SystemExit(f"not taken: {attempt}")
            await mailer.close()

        await asyncio.gather(*(line() for _ in range(LINES)))

    async def theirs(port: int) -> None:
        left = iter(zip(letters, words, strict=True))

        async def line() -> None:
            client = aiosmtplib.SMTP(
                hostname="127.0.0.1", port=port, start_tls=False, local_hostname="bench"
            )
            async with client:
                for letter, written in left:
                    await client.send_message(bare(letter, written))

        await asyncio.gather(*(line() for _ in range(LINES)))

    with _sink() as port:
        _compare(
            f"composed and handed over by {LINES} connections",
            len(letters),
            rounds,
            lambda: asyncio.run(ours(port)),
            lambda: asyncio.run(theirs(port)),
        )


@contextmanager
def _sink() -> Iterator[int]:
    core, _ = cores()
    command = [sys.executable, "-m", "benchmarks.sink"]
    command += [] if core is None else [str(core)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield int(server.stdout.readline() if server.stdout else 0)
    finally:
        server.terminate()
        server.wait()


def _compare(
    what: str,
    count: int,
    rounds: int,
    ours: Callable[[], None],
    theirs: Callable[[], None],
) -> None:
    pairs = [(_timed(ours), _timed(theirs)) for _ in range(rounds)]
    print(f"\n{count} letters {what}, the median of {rounds} rounds")
    print("                 letters/s   CPU ms a letter")
    for name, which in (("product", 0), ("bare", 1)):
        wall = median(pair[which].wall for pair in pairs)
        cpu = median(pair[which].cpu for pair in pairs)
        print(f"  {name:<12} {count / wall:11,.0f} {1000 * cpu / count:17.2f}")
    walls = sorted(b.wall / a.wall for a, b in pairs)
    cpus = sorted(b.cpu / a.cpu for a, b in pairs)
    print(
        f"  of bare      {median(walls):11.2f} ({walls[0]:.2f} to {walls[-1]:.2f})"
        f"   by CPU {median(cpus):.2f}"
    )


def measure(count: int, rounds: int) -> None:
    """Both comparisons, this process on a core of its own."""
    pin(cores()[1])
    letters = fleet(count)
    composing(letters, rounds)
    delivering(letters, rounds)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--letters", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    measure(options.letters, options.rounds)


if __name__ == "__main__":
    main()
