"""Commands that rehearse: demo and sandbox."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.shared import wait_for

if TYPE_CHECKING:
    from monitor.sandbox.scenario import Scenario


@click.command()
@click.option(
    "--out",
    default="demo-out",
    type=click.Path(file_okay=False),
    help="Where configuration, database and letters are written.",
    show_default=True,
)
def demo(out: str) -> None:
    """Go the whole way once, on a simulated Graph and a local mailbox."""
    from monitor.cli.demonstration import demonstrate

    wait_for(demonstrate(Path(out)))


@click.command()
@click.option("--port", default=8099, show_default=True, help="0 takes a free one.")
@click.option(
    "--scenario",
    type=click.Path(dir_okay=False),
    help="A scenario file; the one of the demo unless given.",
)
@click.option("--speed", default=1.0, show_default=True, help="Scales the events.")
@click.option("--mail-port", type=int, help="Also take letters at this port.")
@click.option(
    "--inventory",
    type=click.Path(dir_okay=False),
    help="Write the scenario's tokens there as CSV, to be imported.",
)
def sandbox(
    port: int,
    scenario: str | None,
    speed: float,
    mail_port: int | None,
    inventory: str | None,
) -> None:
    """Serve a simulated Graph on loopback until interrupted."""
    from monitor.sandbox import reading

    plot = reading.load(Path(scenario)) if scenario else reading.demo()
    if inventory is not None:
        count = write_inventory(plot, Path(inventory))
        click.echo(f"{inventory}: {count} tokens to import", err=True)
    wait_for(_serve(plot, port, speed, mail_port))


async def _serve(
    plot: "Scenario", port: int, speed: float, mail_port: int | None
) -> None:
    from contextlib import AsyncExitStack

    from monitor.app import clock
    from monitor.sandbox.mailbox import Mailbox
    from monitor.sandbox.serve import Sandbox

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        graph = await stack.enter_async_context(
            Sandbox.serve(plot, clock=clock, port=port, speed=speed)
        )
        click.echo(f"graph.base_url: {graph.url}")
        for app in plot.apps:
            click.echo(f"app {app.id} ({app.name}), secret {app.secret}")
        if mail_port is not None:
            mailbox = await stack.enter_async_context(
                Mailbox.open(clock=clock, port=mail_port)
            )
            click.echo(f"mail: {{host: {mailbox.host}, port: {mailbox.port}}}")
        await stop.wait()


def write_inventory(plot: "Scenario", path: Path) -> int:
    """Write the tokens of a scenario as an inventory; returns how many."""
    import csv

    from monitor.core.inventory import COLUMNS

    labels = sorted(
        {key for row in plot.inventory() for key in row if key.startswith("label.")}
    )
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *labels], restval="")
        writer.writeheader()
        for row in plot.inventory():
            writer.writerow(row)
            count += 1
    return count
