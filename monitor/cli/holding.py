"""Commands about the storm brake: holds, holds release, holds discard."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.shared import (
    author_name,
    by_option,
    counted,
    default_style,
    each,
    format_option,
    instant,
    load_settings,
    print_rows,
    wait_for,
)
from monitor.errors import UnknownIdError

if TYPE_CHECKING:
    from monitor.config import Settings


@click.group(invoke_without_command=True)
@click.option("--all", "past", is_flag=True, help="Also the last twenty that ended.")
@format_option
@click.pass_context
def holds(ctx: click.Context, past: bool, style: str | None) -> None:  # noqa: FBT001 - click's
    """List owner mail that is held back because too much changed at once."""
    if ctx.invoked_subcommand is not None:
        return
    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import open_store

        async with open_store(settings) as store:
            rows = [hold_json(row) for row in await store.holds.open()]
            if past:
                rows += [hold_json(row) for row in await store.holds.past()]
        columns = ("app_id", "opened_at", "until", "users", "looked_at", "codes")
        more = ("ended_how", "ended_by") if past else ("entries", "readers")
        await print_rows(each(rows), style, (*columns, *more), "nothing is held")
        if rows and not past and default_style(style) == "table":
            click.echo(
                f"real: token-monitor holds release {rows[0]['app_id']}\n"
                f"not real: token-monitor holds discard {rows[0]['app_id']}, or wait"
            )

    wait_for(work())


_reason = click.option("--reason", help="Why, for whoever asks later.")


@holds.command()
@click.argument("app_id", metavar="APP")
@_reason
@by_option
@click.pass_context
def release(
    ctx: click.Context, app_id: str, reason: str | None, author: str | None
) -> None:
    """Let the held letters of APP go, each after a last look."""
    _end(ctx, app_id, "release", author_name(author), reason)


@holds.command()
@click.argument("app_id", metavar="APP")
@_reason
@by_option
@click.pass_context
def discard(
    ctx: click.Context, app_id: str, reason: str | None, author: str | None
) -> None:
    """Drop the held letters of APP; what comes new is judged as ever."""
    _end(ctx, app_id, "discard", author_name(author), reason)


def _end(
    ctx: click.Context, app_id: str, action: str, author: str, reason: str | None
) -> None:
    settings = load_settings(ctx)
    _known(settings, app_id)

    async def work() -> None:
        from monitor.app import charter_of, clock, open_store
        from monitor.jobs.storm import storm_of

        storm = storm_of(charter_of(settings), clock)
        async with open_store(settings) as store:
            end = getattr(store.holds, action)
            freed = await end(app_id, storm, author, reason, clock())
        if freed is None:
            click.echo(f"{app_id}: nothing is held")
            return
        what = (
            f"{counted(freed.entries, 'notice')} to {counted(freed.readers, 'reader')}"
        )
        if action == "release":
            click.echo(
                f"{app_id}: released, {what}; `token-monitor deliver` or the daemon "
                "sends each after a last look"
            )
        else:
            click.echo(f"{app_id}: discarded, {what}")

    wait_for(work())


def _known(settings: "Settings", app_id: str) -> None:
    """Refuse an app nobody configured, naming those there are."""
    known = [app.id for app in settings.apps]
    if app_id not in known:
        raise UnknownIdError(
            f"no app has the id {app_id!r}; configured: {', '.join(known)}"
        )


def hold_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A hold as the contract's lists print it."""
    return {
        "id": row["id"],
        "app_id": row["app_id"],
        "opened_at": instant(row["opened_at"]),
        "until": instant(row["until"]),
        "users": row["users"],
        "tokens": row["tokens"],
        "looked_at": row["looked_at"],
        "apps": row["apps"],
        "codes": row["codes"],
        "entries": row.get("entries", 0),
        "readers": row.get("readers", 0),
        "ended_at": instant(row["ended_at"]),
        "ended_how": row["ended_how"],
        "ended_by": row["ended_by"],
        "reason": row["reason"],
    }


def hold_words(hold: Mapping[str, Any]) -> str:
    """A hold in a line of `status`."""
    return (
        f"held: owner letters of app {hold['app_id']} until {hold['until']}: "
        f"{wave_words(hold)}; see `token-monitor holds`"
    )


def wave_words(hold: Mapping[str, Any]) -> str:
    """What opened a hold."""
    over = f" of {hold['apps']} apps" if hold["apps"] > 1 else ""
    return (
        f"{hold['users']} of {hold['looked_at']} users{over} with sudden news, here "
        f"{hold['codes']}"
    )
