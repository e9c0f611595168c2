"""Commands about the inventory: tokens import, add, list, show, remove, export."""

import io
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from monitor.cli.shared import (
    author_name,
    cell_text,
    closing,
    counted,
    default_style,
    format_option,
    load_settings,
    print_json,
    print_rows,
    progress,
    terminal,
    wait_for,
)
from monitor.errors import OperatorError, RefusedInputError, UnknownIdError

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.core.inventory import Row
    from monitor.store.reports import TokenFilter

_COLUMNS: Final = (
    "id",
    "name",
    "kind",
    "severity",
    "codes",
    "suspected",
    "expires_at",
    "last_checked_at",
    "owner_email",
)
_MOST_FAULTS: Final = 1000


@click.group()
def tokens() -> None:
    """The tokens that are watched; no command ever prints a secret."""


@tokens.command("import")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False))
@click.option(
    "--input",
    "kind",
    type=click.Choice(["csv", "jsonl"]),
    help="What FILE holds; else told by its name or its first character.",
)
@click.pass_context
def tokens_import(ctx: click.Context, file: str, kind: str | None) -> None:
    """Take in FILE (CSV or JSON Lines, - for standard input), all of it or nothing.

    Importing the same file again changes nothing. A changed secret of a known id
    replaces the old one.
    """
    settings = load_settings(ctx)
    source = _Source(file, kind)
    count = _refuse_faults(source, settings)

    async def work() -> None:
        from monitor.app import clock, open_store

        async with open_store(settings) as store:
            with progress("importing", count) as tell:
                done = await store.inventory.import_rows(
                    _rows(source, settings), clock(), tell
                )
        click.echo(
            f"{counted(count, 'token')}: {done.added} added, "
            f"{done.replaced} with a new secret, {done.changed} changed, "
            f"{done.unchanged} unchanged"
        )

    wait_for(work())


class _Source:
    """An inventory that can be read twice: once to check it, once to take it in."""

    def __init__(self, file: str, kind: str | None) -> None:
        self.name = "standard input" if file == "-" else file
        self._path = None if file == "-" else Path(file)
        self._held = sys.stdin.buffer.read() if file == "-" else b""
        self.jsonl = self._is_jsonl(kind)

    def _is_jsonl(self, kind: str | None) -> bool:
        if kind is not None:
            return kind == "jsonl"
        suffix = self._path.suffix.lower() if self._path else ""
        if suffix in {".jsonl", ".ndjson", ".json"}:
            return True
        if suffix == ".csv":
            return False
        with self.open() as lines:
            return lines.read(64).lstrip().startswith("{")

    def open(self) -> TextIO:
        """The text, from its beginning; a byte order mark is no part of it."""
        try:
            raw: io.BufferedReader | io.BytesIO = (
                self._path.open("rb") if self._path else io.BytesIO(self._held)
            )
        except OSError as error:
            raise OperatorError(
                f"{self.name}: cannot be read: {error.strerror}"
            ) from None
        return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _refuse_faults(source: _Source, settings: "Settings") -> int:
    """Read everything once; name every fault, or say how many rows there are."""
    from monitor.core.inventory import Fault, parse

    faults, count = [], 0
    app_ids = [app.id for app in settings.apps]
    with source.open() as lines:
        try:
            for parsed in parse(lines, app_ids, jsonl=source.jsonl):
                if isinstance(parsed, Fault):
                    faults.append(
                        f"{source.name}:{parsed.line}:{parsed.column}: {parsed.text}"
                    )
                else:
                    count += 1
        except UnicodeDecodeError as error:
            faults.append(
                f"{source.name}: byte {error.start}: not UTF-8; save it as UTF-8"
            )
    if faults:
        shown = faults[:_MOST_FAULTS]
        if len(faults) > len(shown):
            shown.append(f"… and {len(faults) - len(shown)} more")
        raise RefusedInputError(
            f"nothing was imported: {counted(len(faults), 'fault')} in {source.name}",
            shown,
        )
    return count


def _rows(source: _Source, settings: "Settings") -> Iterator["Row"]:
    from monitor.core.inventory import Row, parse

    app_ids = [app.id for app in settings.apps]
    with source.open() as lines:
        for parsed in parse(lines, app_ids, jsonl=source.jsonl):
            if not isinstance(parsed, Row):
                raise RefusedInputError(
                    f"{source.name} changed while it was read; nothing was imported"
                )
            yield parsed


@tokens.command("add")
@click.option("--id", "token_id", required=True, help="Yours, and stable.")
@click.option("--app-id", "--app", "app_id", required=True)
@click.option("--owner-email", "--owner", "owner_email", required=True)
@click.option("--owner-name")
@click.option("--kind", type=click.Choice(["user", "page", "system_user"]))
@click.option("--name", help="What the owner calls it.")
@click.option("--used-for", help="What stops without it.")
@click.option("--user-id")
@click.option("--profile-id")
@click.option("--locale")
@click.option("--timezone")
@click.option("--cc")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE")
@click.pass_context
def tokens_add(ctx: click.Context, /, labels: tuple[str, ...], **fields: Any) -> None:  # noqa: ANN401 - options
    """Take in one token; its secret is read from standard input."""
    import json

    settings = load_settings(ctx)
    secret = _read_secret()
    record = {name: value for name, value in fields.items() if value is not None}
    record["id"] = record.pop("token_id")
    record["token"] = secret
    for label in labels:
        key, separator, value = label.partition("=")
        if not separator or not key:
            raise click.UsageError(f"--label {label}: KEY=VALUE is expected")
        record[f"label.{key}"] = value
    line = json.dumps(record)

    async def work() -> None:
        from monitor.app import clock, open_store

        rows = _checked([line], settings)
        async with open_store(settings) as store:
            done = await store.inventory.import_rows(rows, clock())
        what = (
            "added"
            if done.added
            else "given a new secret"
            if done.replaced
            else "changed"
            if done.changed
            else "unchanged"
        )
        click.echo(f"{record['id']}: {what}")

    wait_for(work())


def _read_secret() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("token", hide_input=True, err=True)).strip()
    return sys.stdin.read().strip()


def _checked(lines: Iterable[str], settings: "Settings") -> list["Row"]:
    from monitor.core.inventory import Fault, Row, parse

    parsed = list(parse(lines, [app.id for app in settings.apps], jsonl=True))
    faults = [each.text for each in parsed if isinstance(each, Fault)]
    if faults:
        raise RefusedInputError("nothing was added", faults)
    return [each for each in parsed if isinstance(each, Row)]


@tokens.command("list")
@click.option("--severity", type=click.Choice(["ok", "unknown", "warning", "critical"]))
@click.option("--app", help="An app id.")
@click.option("--owner", help="An owner's mail address.")
@click.option("--code", help="A finding, such as expiring.")
@format_option
@click.pass_context
def tokens_list(
    ctx: click.Context,
    severity: str | None,
    app: str | None,
    owner: str | None,
    code: str | None,
    style: str | None,
) -> None:
    """List tokens and what is known of them."""
    from monitor.core.tokens import Code
    from monitor.store.reports import TokenFilter

    if code is not None and code not in set(Code):
        raise click.UsageError(f"--code {code}: none of {', '.join(Code)}")
    wanted = TokenFilter(severity, app, owner, code)
    settings = load_settings(ctx)
    as_table = default_style(style) == "table"

    async def work() -> None:
        await print_rows(
            _token_rows(settings, wanted, suspected=as_table),
            style,
            _COLUMNS,
            "no tokens; `token-monitor tokens import FILE` takes them in",
        )

    wait_for(work())


async def _token_rows(
    settings: "Settings", wanted: "TokenFilter", *, suspected: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """The tokens as JSON; with a column of the suspected code for a table."""
    from monitor.app import charter_of, open_store
    from monitor.cli.views import token_json

    charter = charter_of(settings)
    async with (
        open_store(settings) as store,
        closing(store.reports.tokens(wanted)) as views,
    ):
        async for view in views:
            row = token_json(view, charter)
            if suspected:
                row["suspected"] = (row["suspicion"] or {}).get("code")
            yield row


@tokens.command("show")
@click.argument("token_id", metavar="ID")
@click.option("--format", "style", type=click.Choice(["table", "json"]))
@click.pass_context
def tokens_show(ctx: click.Context, token_id: str, style: str | None) -> None:
    """Show everything known of one token, never its secret."""
    from monitor.store.reports import TokenFilter

    settings = load_settings(ctx)

    async def work() -> None:
        wanted = TokenFilter(ids=[token_id])
        rows = [row async for row in _token_rows(settings, wanted)]
        if not rows:
            raise UnknownIdError(f"no token has the id {token_id!r}")
        if default_style(style) == "json":
            print_json(rows[0])
        else:
            _print_facts(rows[0])

    wait_for(work())


def _print_facts(row: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in row.items():
        if value not in (None, [], ""):
            table.add_row(Text(key, style="bold"), Text(_fact(value)))
    terminal().print(table)


def _fact(value: object) -> str:
    """A value for a reader: a record as its members, a flag as a word."""
    if isinstance(value, dict):
        members = ((key.replace("_", " "), each) for key, each in value.items())
        return ", ".join(f"{key} {cell_text(each)}" for key, each in members)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return cell_text(value)


@tokens.command("remove")
@click.argument("token_id", metavar="ID")
@click.option("--by", "author", help="Who does this; the system user unless given.")
@click.pass_context
def tokens_remove(ctx: click.Context, token_id: str, author: str | None) -> None:
    """Forget a token, its secret, its history and its unsent letters."""
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import clock, open_store

        async with open_store(settings) as store:
            by = author_name(author)
            if not await store.inventory.remove(token_id, by, clock()):
                raise UnknownIdError(f"no token has the id {token_id!r}")
        click.echo(f"{token_id}: removed")

    wait_for(work())


@tokens.command("export")
@click.option("--format", "style", type=click.Choice(["csv", "json"]), default="csv")
@click.pass_context
def tokens_export(ctx: click.Context, style: str) -> None:
    """Print the inventory without its secrets, as CSV or JSON."""
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import open_store
        from monitor.cli.views import inventory_json

        async with open_store(settings) as store:
            labels = sorted(
                {
                    key
                    async for row in store.inventory.export()
                    for key in inventory_json(row, ())
                    if key.startswith("label.")
                }
            )

            async def rows() -> AsyncIterator[dict[str, Any]]:
                async with closing(store.inventory.export()) as stored:
                    async for row in stored:
                        yield inventory_json(row, labels)

            await print_rows(rows(), style, (), "")

    wait_for(work())
