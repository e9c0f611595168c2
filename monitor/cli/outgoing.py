"""Commands about what is said: outbox, silence, silences, unsilence."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import click

from monitor.cli.shared import (
    author_name,
    by_option,
    each,
    format_option,
    instant,
    load_settings,
    print_json,
    print_rows,
    wait_for,
)
from monitor.errors import UnknownIdError

_STATES: Final = ("waiting", "sent", "refused", "dropped")


@click.group()
def outbox() -> None:
    """What waits to be told, was told, or was refused."""


@outbox.command("list")
@click.option("--state", type=click.Choice(_STATES))
@format_option
@click.pass_context
def outbox_list(ctx: click.Context, state: str | None, style: str | None) -> None:
    """List entries, oldest first."""
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import open_store
        from monitor.cli.views import entry_json

        async with open_store(settings) as store:
            rows = [entry_json(row) for row in await store.reports.entries()]
        wanted = [row for row in rows if state in {None, row["state"]}]
        columns = ("id", "subject", "reason", "codes", "recipient", "state")
        await print_rows(
            each(wanted), style, (*columns, "waits_for", "due_at"), "nothing there"
        )

    wait_for(work())


@outbox.command("show")
@click.argument("entry_id", metavar="ID")
@click.pass_context
def outbox_show(ctx: click.Context, entry_id: str) -> None:
    """Show one entry, or every entry of one letter."""
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import open_store
        from monitor.cli.views import entry_json

        async with open_store(settings) as store:
            rows = [
                entry_json(row)
                for row in await store.reports.entries(entry_id=entry_id)
            ]
        if not rows:
            raise UnknownIdError(f"no entry or letter has the id {entry_id!r}")
        print_json(rows[0] if len(rows) == 1 else rows)

    wait_for(work())


@outbox.command("retry")
@click.argument("entry_id", metavar="ID")
@by_option
@click.pass_context
def outbox_retry(ctx: click.Context, entry_id: str, author: str | None) -> None:
    """Try again now: a refused entry gets a new letter, a deferred one goes at once."""
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import clock, open_store

        async with open_store(settings) as store:
            if not await store.reports.entries(entry_id=entry_id):
                raise UnknownIdError(f"no entry or letter has the id {entry_id!r}")
            found = await store.hand.retry(entry_id, author_name(author), clock())
        if found:
            click.echo(f"{entry_id}: due now; `token-monitor deliver` or the daemon")
        else:
            click.echo(f"{entry_id}: sent or dropped already; nothing to retry")

    wait_for(work())


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option(
    "--until",
    required=True,
    metavar="WHEN",
    help="A date, an instant (2027-01-31T18:00Z), or a time from now (3d, 12h).",
)
@click.option("--reason", required=True, help="Why, for whoever asks later.")
@by_option
@click.pass_context
def silence(
    ctx: click.Context,
    ids: tuple[str, ...],
    until: str,
    reason: str,
    author: str | None,
) -> None:
    """Stop letters about these tokens until WHEN; they are still checked."""
    from monitor.app import clock

    now = clock()
    end = parse_until(until, now)
    if end <= now:
        raise click.UsageError(f"--until {until}: lies in the past")
    _silence(ctx, ids, end, author_name(author), reason)
    click.echo(f"silent until {instant(end)}: {', '.join(ids)}")


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@by_option
@click.pass_context
def unsilence(ctx: click.Context, ids: tuple[str, ...], author: str | None) -> None:
    """Let letters about these tokens go again."""
    _silence(ctx, ids, None, author_name(author), None)
    click.echo(f"no longer silent: {', '.join(ids)}")


def _silence(
    ctx: click.Context,
    ids: tuple[str, ...],
    until: datetime | None,
    author: str,
    reason: str | None,
) -> None:
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import clock, open_store

        async with open_store(settings) as store:
            known = await store.claims.rows_of(ids)
            unknown = [each for each in ids if each not in known]
            if unknown:
                raise UnknownIdError(f"no token has the id {', '.join(unknown)}")
            await store.hand.silence(ids, until, author, reason, clock())

    wait_for(work())


@click.command()
@format_option
@click.pass_context
def silences(ctx: click.Context, style: str | None) -> None:
    """List the silences in force."""
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import clock, open_store

        async with open_store(settings) as store:
            rows = [_silence_json(row) for row in await store.reports.silences(clock())]
        columns = ("id", "until", "by", "reason")
        await print_rows(each(rows), style, columns, "nothing is silent")

    wait_for(work())


def _silence_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "until": instant(row["silenced_until"]),
        "by": row["silenced_by"],
        "reason": row["silence_reason"],
    }


_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final = {
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}


def parse_until(text: str, now: datetime) -> datetime:
    """An end, given as a date, an instant or a time from now; UTC unless it says.

    A date means its beginning.
    """
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        try:
            return now + sum(
                (timedelta(**{_UNITS[unit]: int(number)}) for number, unit in spans),
                timedelta(),
            )
        except OverflowError:
            raise click.UsageError(f"--until {text}: too far ahead") from None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        end = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"--until {text}: expected a date (2027-01-31), an instant "
            "(2027-01-31T18:00Z) or a time from now (3d, 12h)"
        ) from None
    return end if end.tzinfo else end.replace(tzinfo=UTC)
