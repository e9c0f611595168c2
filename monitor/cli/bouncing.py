"""The command for what comes to the bounce address."""

import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import click

from monitor.cli.shared import (
    author_name,
    by_option,
    counted,
    default_style,
    load_settings,
    print_json,
    wait_for,
)
from monitor.errors import OperatorError

_LONGEST_LINE: Final = 64 * 1024


@click.group()
def bounces() -> None:
    """What came back to `mail.bounce_address`."""


@bounces.command("ingest")
@click.argument("file", type=click.Path(exists=True, allow_dash=True), metavar="FILE|-")
@by_option
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    help="How to print: table on a terminal, json elsewhere unless asked.",
)
@click.pass_context
def bounces_ingest(
    ctx: click.Context, file: str, author: str | None, style: str | None
) -> None:
    """Read delivery reports: one message, a Maildir folder or an mbox.

    A reader whose letter is lost counts as unreachable; the letter is shown as refused.
    Reports that do not prove to be about a letter of ours are counted, and change
    nothing. Reading the same again changes nothing.
    """
    settings = load_settings(ctx)

    async def work() -> Counter[str]:
        from monitor.app import charter_of, clock, open_store
        from monitor.core.bounces import Finding
        from monitor.jobs.reach import entries_instead
        from monitor.notify.dsn import read_report

        charter, counts = charter_of(settings), Counter[str](messages=0)
        counts.update(dict.fromkeys(Finding, 0))
        async with open_store(settings) as store:
            for raw in messages(file):
                report, now = read_report(raw), clock()
                finding = Finding.UNREADABLE
                if report is not None:
                    instead = partial(entries_instead, charter, now=now)
                    who = author_name(author)
                    finding = await store.bounces.settle(report, who, now, instead)
                counts["messages"] += 1
                counts[finding] += 1
        return counts

    counts = wait_for(work())
    if default_style(style) == "json":
        print_json({str(name): number for name, number in counts.items()})
        return
    total = counts.pop("messages")
    found = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    click.echo(f"{counted(total, 'message')}{': ' if found else ''}{found}")


def messages(file: str) -> Iterator[bytes]:
    """The messages of a file or folder, each cut where nobody reads on."""
    try:
        if file == "-":
            yield from _split(sys.stdin.buffer)
        elif Path(file).is_dir():
            for path in _maildir(Path(file)):
                # Somebody may read his mail meanwhile: it moves, and is met next time.
                with suppress(FileNotFoundError), path.open("rb") as stream:
                    yield _head(stream)
        else:
            with Path(file).open("rb") as stream:
                yield from _split(stream)
    except OSError as error:
        raise OperatorError(f"{file}: cannot be read: {error.strerror}") from None


def _maildir(folder: Path) -> list[Path]:
    """What was delivered to a Maildir, seen or not; never what is being written."""
    inside = [folder / "new", folder / "cur"]
    if not all(each.is_dir() for each in inside):
        raise OperatorError(f"{folder}: is no Maildir, which has folders new and cur")
    return sorted(path for each in inside for path in each.iterdir() if path.is_file())


def _head(stream: BinaryIO) -> bytes:
    from monitor.notify.dsn import LONGEST

    return stream.read(LONGEST)


def _split(stream: BinaryIO) -> Iterator[bytes]:
    """One message, or the messages of an mbox: RFC 4155, appendix A."""
    from monitor.notify.dsn import LONGEST

    message, empty_before, begun = io.BytesIO(), True, False
    while line := stream.readline(_LONGEST_LINE):
        if empty_before and line.startswith(b"From "):
            if begun:
                yield message.getvalue()
            message, begun = io.BytesIO(), True
        elif message.tell() < LONGEST:
            message.write(line)
            begun = True
        empty_before = line in {b"\n", b"\r\n"}
    if begun:
        yield message.getvalue()
