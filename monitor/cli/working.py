"""Commands that do the work: check, deliver, run."""

import asyncio
import os
from typing import TYPE_CHECKING

import click

from monitor.cli.shared import (
    config_path,
    counted,
    instant,
    load_settings,
    progress,
    severities,
    wait_for,
)
from monitor.errors import UnknownIdError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monitor.app import House
    from monitor.config import Settings
    from monitor.jobs import Delivered, Pause, Tally

_ATTENTION = 1
_COULD_NOT = 3


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--due", is_flag=True, help="Only what is due.")
@click.pass_context
def check(ctx: click.Context, ids: tuple[str, ...], due: bool) -> None:  # noqa: FBT001 - click's
    """Look at every token now, or at the named ones; mail nothing.

    Ends 3 if some app could not be asked at all, else 1 if any token is warning,
    critical or under suspicion, else 0.
    """
    if ids and due:
        raise click.UsageError("either name tokens or ask for what is due")
    settings = load_settings(ctx)

    async def work() -> int:
        from monitor.app import open_house

        async with open_house(settings) as house:
            return await _check(house, ids, due=due)

    ctx.exit(wait_for(work()))


async def _check(house: "House", ids: "Sequence[str]", *, due: bool) -> int:
    rows: list[int] = []
    if ids:
        known = await house.store.claims.rows_of(ids)
        unknown = [each for each in ids if each not in known]
        if unknown:
            raise UnknownIdError(f"no token has the id {', '.join(unknown)}")
        rows = list(known.values())
    if not await house.guard.glance():
        return _doubted()
    total = len(rows) or await house.store.claims.count(house.charter.apps)
    with progress("checking", None if due else total) as tell:
        tally = await _looks(house, rows, tell, due=due)
    if total == 0:
        click.echo("no tokens; `token-monitor tokens import FILE` takes them in")
        return 0
    _say(tally)
    if house.guard.doubted_since is not None:
        return _doubted()
    if tally.unasked:
        return _COULD_NOT
    return _ATTENTION if tally.attention else 0


async def _looks(
    house: "House", rows: list[int], tell: "Callable[[int], None]", *, due: bool
) -> "Tally":
    if rows:
        return await house.checker.check_named(rows, tell, _pause)
    if due:
        return await house.checker.check_due(tell)
    return await house.checker.check_all(tell, _pause)


def _pause(pause: "Pause") -> None:
    """Say why a check stands still, and for how long."""
    from monitor.cli.quotas import span
    from monitor.core.quota import time_for

    at = instant(pause.until)
    words = f"app {pause.app_id}: its calls of this hour are used; goes on at {at}"
    left = time_for(pause.left, pause.hourly)
    if left is not None:
        words += f", about {span(left.total_seconds())} for {pause.left:,} tokens left"
    click.echo(words, err=True)


def _doubted() -> int:
    """Nobody is judged or written to by a clock that is wrong."""
    click.echo(
        "this machine's clock cannot be trusted: it disagrees with Meta's or with what "
        "was written down before; nothing is judged or sent until it is set right",
        err=True,
    )
    return _COULD_NOT


def _say(tally: "Tally") -> None:
    counts = severities(tally.by_severity)
    looked = f"looked at {counted(tally.looked, 'token')}"
    if tally.looked or not tally.unasked:
        click.echo(f"{looked}: {counts}" if counts else looked)
    if tally.suspected:
        click.echo(
            f"{tally.suspected} under suspicion: the next look, after confirm_after, "
            "believes or clears it"
        )
    inconclusive = tally.looked - tally.conclusive
    if inconclusive:
        click.echo(f"{inconclusive} gave no clear answer; what was known of them stays")
    if tally.superseded:
        click.echo(f"{tally.superseded} were taken over or replaced meanwhile")
    if tally.failed:
        click.echo(f"{tally.failed} could not be recorded: see the log", err=True)
    if tally.notices:
        notices = counted(tally.notices, "notice")
        click.echo(f"{notices} planned; the daemon or `token-monitor deliver` sends")
    for app_id, cause in tally.unasked.items():
        click.echo(f"app {app_id} could not be asked: {_WHY[cause]}", err=True)


_WHY = {
    "caller": "Meta refuses its id or secret; mend apps in monitor.yaml",
    "throttled": "its quota is spent; it rests until Meta lets it call again",
    "unreachable": "no answer from graph.base_url; is the network up?",
    "unreadable": "the answers are not Graph's; is graph.base_url right?",
    "transient": "Meta has a passing trouble; try again later",
    "unknown": "Meta's answers are none we know; see the log",
    "secret": "its stored secrets cannot be opened with these keys",
    "damaged": "what is stored of its tokens cannot be read; see the log",
    "internal": "we failed; see the log",
}


@click.command()
@click.pass_context
def deliver(ctx: click.Context) -> None:
    """Send now what is waiting to be told, taking the last looks it needs.

    Ends 0, or 3 if an attempt was deferred or refused; waiting and held is 0.
    """
    settings = load_settings(ctx)

    async def work() -> int:
        from monitor.app import open_house

        async with open_house(settings) as house:
            if not await house.guard.glance():
                return _doubted()
            with progress("sending", None) as tell:
                delivered = await house.courier.deliver_now(
                    house.checker.check_named, tell
                )
            _tell(delivered)
            return _COULD_NOT if delivered.troubled else 0

    ctx.exit(wait_for(work()))


def _tell(delivered: "Delivered") -> None:
    click.echo(f"{counted(delivered.sent, 'letter')} sent")
    if delivered.dropped:
        dropped = counted(delivered.dropped, "entry")
        click.echo(f"{dropped} dropped: outlived before they left")
    if delivered.deferred:
        click.echo(f"{delivered.deferred} deferred; they are tried again", err=True)
    if delivered.refused:
        click.echo(
            f"{delivered.refused} refused for good; see `token-monitor outbox list "
            "--state refused`",
            err=True,
        )
    if delivered.channel is not None:
        click.echo(
            f"the mail server cannot be used ({delivered.channel}); nothing is lost, "
            "mend mail in monitor.yaml or wait",
            err=True,
        )


@click.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Be the daemon: check, deliver, repeat.

    SIGTERM finishes what is in hand and ends within 30 seconds. SIGHUP reloads the
    configuration, and keeps the old one if the new one is broken.
    """
    from monitor.daemon import run as live

    path = config_path(ctx)

    def load() -> "Settings":
        from monitor.config import load as read

        return read(path, os.environ)

    asyncio.run(live(load, ctx.obj["level"]))
