"""What the commands share: settings, formats, tables, progress."""

import asyncio
import csv
import json
import os
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from monitor.config import Settings

_T = TypeVar("_T")

format_option: Final = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "csv"]),
    help="How to print: table on a terminal, json elsewhere unless asked.",
)

by_option: Final = click.option(
    "--by", "author", help="Who does this; the system user unless given."
)


def config_path(ctx: click.Context) -> Path:
    """The configuration file this run is about."""
    from monitor.config import find

    given = ctx.obj["path"]
    return find(Path(given) if given else None, os.environ)


def load_settings(ctx: click.Context, *, quiet: bool = True) -> "Settings":
    """The settings, with the log configured by them.

    Args:
        ctx: The running command.
        quiet: Log warnings only, unless a level was asked for: the command's own
            words are what its user reads.
    """
    from monitor.config import load

    settings = load(config_path(ctx), os.environ)
    from monitor.app import configure_log  # slow: a fault above answers without it

    level = ctx.obj["level"]
    if level is None and quiet and settings.log.level != "debug":
        level = "warning"
    configure_log(settings, level)
    return settings


def wait_for(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a command's work to its end."""
    return asyncio.run(work)


def author_name(given: str | None) -> str:
    """Who does this: as given, else the system user."""
    if given:
        return given
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def instant(value: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the second; `None` stays."""
    if value is None:
        return None
    return (
        value.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    )


def counted(number: int, thing: str) -> str:
    """A number and what it counts.

    >>> counted(1, "letter"), counted(2, "letter"), counted(0, "entry")
    ('1 letter', '2 letters', '0 entries')
    """
    if number == 1:
        return f"1 {thing}"
    many = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number} {many}"


def severities(counts: Mapping[Any, int]) -> str:
    """How many there are of each severity, the worst first."""
    worst_first = ("critical", "warning", "unknown", "ok")
    return ", ".join(
        f"{counts[each]} {each}" for each in worst_first if counts.get(each)
    )


def take_folder(out: Path, mark: str) -> None:
    """Make the folder, or empty it if an earlier run made it.

    Args:
        out: The folder.
        mark: The file by which a folder is known as one of ours.

    Raises:
        OperatorError: It holds something else.
        OSError: It cannot be written.
    """
    import shutil

    from monitor.errors import OperatorError

    if out.exists() and any(out.iterdir()) and not (out / mark).exists():
        raise OperatorError(
            f"{out}: not empty, and not made by an earlier run; name another with --out"
        )
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / mark).touch()


def default_style(style: str | None) -> str:
    """The format asked for, else table on a terminal and JSON elsewhere."""
    if style is not None:
        return style
    return "table" if sys.stdout.isatty() else "json"


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@asynccontextmanager
async def closing(rows: AsyncIterator[_T]) -> AsyncIterator[AsyncIterator[_T]]:
    """A stream that lets go of the database when the block ends, however it ends."""
    try:
        yield rows
    finally:
        if isinstance(rows, AsyncGenerator):
            await rows.aclose()


async def print_rows(
    rows: AsyncIterator[Mapping[str, Any]],
    style: str | None,
    columns: Sequence[str],
    empty: str,
) -> int:
    """Print a stream of rows; returns how many there were.

    JSON has every key of a row in one array, CSV and table the named columns.
    """
    style = default_style(style)
    async with closing(rows):
        if style == "json":
            return await _json_array(rows)
        if style == "csv":
            return await _csv(rows)
        return await _table(rows, columns, empty)


async def _json_array(rows: AsyncIterator[Mapping[str, Any]]) -> int:
    count = 0
    async for row in rows:
        click.echo("[\n" if count == 0 else ",\n", nl=False)
        click.echo(json.dumps(row, ensure_ascii=False, default=str), nl=False)
        count += 1
    click.echo("\n]" if count else "[]")
    return count


async def _csv(rows: AsyncIterator[Mapping[str, Any]]) -> int:
    count = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    async for row in rows:
        if count == 0:
            writer.writerow(row)
        writer.writerow([cell_text(value) for value in row.values()])
        count += 1
    return count


def cell_text(value: object) -> str:
    """A value in a cell; what a spreadsheet would run as a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return " ".join(str(each) for each in value)
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


_STYLES: Final = {
    "ok": "green",
    "warning": "yellow",
    "critical": "bold red",
    "unknown": "dim",
    "sent": "green",
    "refused": "bold red",
}


async def _table(
    rows: AsyncIterator[Mapping[str, Any]], columns: Sequence[str], empty: str
) -> int:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    count = 0
    async for row in rows:
        cells = [_plain(row.get(column)) for column in columns]
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
        count += 1
    if count:
        terminal().print(table)
    else:
        click.echo(empty, err=True)
    return count


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "�" for char in text)


def terminal() -> Any:  # noqa: ANN401 - rich is imported late
    """Standard output as rich draws on it; wide enough where it is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    return console


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a plain line now and then elsewhere, on standard error."""
    if not sys.stderr.isatty():
        yield _plain_progress(what, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


_PLAIN_STEP: Final = 10_000


def _plain_progress(what: str, total: int | None) -> Callable[[int], None]:
    said = 0

    def tell(done: int) -> None:
        nonlocal said
        if done - said >= _PLAIN_STEP:
            said = done
            of = f" of {total}" if total else ""
            click.echo(f"{what}: {done}{of}", err=True)

    return tell


async def each(rows: Sequence[_T]) -> AsyncIterator[_T]:
    """A list as a stream."""
    for row in rows:
        yield row
