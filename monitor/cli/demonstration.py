"""The demo: a fleet with every kind of trouble, looked at twice, and its letters."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from monitor.app import House, clock, configure_log, open_house
from monitor.cli.holding import wave_words
from monitor.cli.rehearsing import write_inventory
from monitor.cli.shared import (
    counted,
    print_rows,
    progress,
    severities,
    take_folder,
    terminal,
)
from monitor.cli.views import token_json
from monitor.config import Settings, load, new_key
from monitor.core.inventory import Row, parse
from monitor.jobs import Tally
from monitor.jobs.storm import storm_of
from monitor.sandbox import reading
from monitor.sandbox.mailbox import Mailbox
from monitor.sandbox.scenario import Scenario
from monitor.sandbox.serve import Sandbox
from monitor.store.reports import TokenFilter

_MARK: Final = ".token-monitor-demo"
"""Only a folder that holds this file is emptied."""
_CONFIRM_AFTER: Final = timedelta(seconds=2)

_CONFIGURATION: Final = """\
# Written by `token-monitor demo`. A real one: `token-monitor init`.
database: sqlite:///monitor.db
keys:
  - {{id: demo, secret_file: monitor.key}}
graph: {{base_url: "{graph}"}}
apps:
{apps}
policies:
  - name: harbour-ads
    match: {{label: {{account: harbour}}}}
    required_scopes: [ads_read, ads_management]
    required_targets: {{ads_management: ["710000000000001"]}}
    confirm_after: {confirm}
  - name: ads
    match: {{label: {{team: ads}}}}
    required_scopes: [ads_read, ads_management]
    confirm_after: {confirm}
  - name: pages
    match: {{label: {{team: pages}}}}
    required_scopes: [pages_manage_posts, pages_read_engagement]
    allowed_scopes: [pages_manage_posts, pages_read_engagement, pages_show_list,
                     public_profile]
    confirm_after: {confirm}
  - name: default
    confirm_after: {confirm}        # 10m in real life
mail:
  host: {mail_host}
  port: {mail_port}
  tls: none
  from: Acme <tokens@acme.example>
  reply_to: support@acme.example
operator: {{email: [ops@acme.example]}}
"""

_COLUMNS: Final = ("id", "name", "kind", "severity", "codes", "suspected", "expires_at")


async def demonstrate(out: Path) -> None:
    """Import, look, look again, deliver; say what happened and where it lies."""
    take_folder(out, _MARK)
    plot = reading.demo()
    async with (
        Sandbox.serve(plot, clock=clock) as graph,
        Mailbox.open(clock=clock) as mailbox,
    ):
        settings = _configure(out, plot, graph, mailbox)
        configure_log(settings, "error")
        async with open_house(settings) as house:
            await _tell_the_story(house, plot, out)
        letters = mailbox.save(out / "letters")
    _show_letters(out, letters)


def _configure(out: Path, plot: Scenario, graph: Sandbox, mailbox: Mailbox) -> Settings:
    key = out / "monitor.key"
    key.touch(mode=0o600)
    key.write_text(new_key() + "\n", encoding="ascii")
    apps = "\n".join(
        f'  - id: "{app.id}"\n    name: {app.name}\n    secret: {app.secret}\n'
        f'    reauthorize_url: "https://app.acme.example/connect?token={{token_id}}"'
        for app in plot.apps
    )
    path = out / "monitor.yaml"
    path.write_text(
        _CONFIGURATION.format(
            graph=graph.url,
            apps=apps,
            confirm=f"{_CONFIRM_AFTER.seconds}s",
            mail_host=mailbox.host,
            mail_port=mailbox.port,
        ),
        encoding="utf-8",
    )
    return load(path, os.environ)


async def _tell_the_story(house: House, plot: Scenario, out: Path) -> None:
    inventory = out / "inventory.csv"
    count = write_inventory(plot, inventory)
    apps = list(house.charter.apps)
    with inventory.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in parse(lines, apps, jsonl=False) if isinstance(row, Row)]
    await house.store.inventory.import_rows(rows, clock())
    click.echo(f"imported {count} tokens of {len(apps)} apps, their secrets sealed")
    first = await _look(house, "first look", count)
    click.echo(
        f"first look: {_counts(first)}; {first.suspected} under suspicion. Sudden "
        "news is believed at the second look only."
    )
    click.echo(f"waiting {_CONFIRM_AFTER.seconds} seconds (confirm_after)")
    await asyncio.sleep(_CONFIRM_AFTER.total_seconds() + 0.1)
    second = await _look(house, "second look", count)
    click.echo(f"second look: {_counts(second)}; {second.suspected} under suspicion.")
    await print_rows(_rows(house), "table", _COLUMNS, "")
    delivered = await house.courier.deliver_now(house.checker.check_named)
    await _show_holds(house, delivered.sent)
    delivered = await house.courier.deliver_now(house.checker.check_named)
    click.echo(
        f"{counted(delivered.sent, 'letter')} sent, one a person and product; every "
        "sudden matter was looked at once more before its letter left"
    )
    again = await house.courier.deliver_now(house.checker.check_named)
    click.echo(f"delivering again sends {again.sent}: nobody hears the same twice")


async def _show_holds(house: House, sent: int) -> None:
    """So much at once is held; the demo plays the operator who finds it real."""
    storm = storm_of(house.charter, clock)
    found = await house.store.holds.open()
    if not found:
        return
    click.echo(
        f"{counted(sent, 'letter')} left, to the operator and about dates that pass "
        "today; all other owner letters are held, for it might be an outage of Meta's"
    )
    for hold in found:
        app_id = hold["app_id"]
        click.echo(f"held: app {app_id}: {wave_words(hold)}")
        click.echo(f"it is real: token-monitor holds release {app_id}")
        await house.store.holds.release(app_id, storm, "demo", "it is real", clock())


async def _look(house: House, what: str, count: int) -> Tally:
    with progress(what, count) as tell:
        return await house.checker.check_all(tell)


def _counts(tally: Tally) -> str:
    return severities(tally.by_severity)


async def _rows(house: House) -> AsyncIterator[dict[str, object]]:
    async for view in house.store.reports.tokens(TokenFilter()):
        row = token_json(view, house.charter)
        doubt = row["suspicion"]
        yield {**row, "suspected": doubt["code"] if doubt else None}


def _show_letters(out: Path, letters: list[Path]) -> None:
    texts = [path for path in letters if path.suffix == ".txt"]
    of_owners = [path for path in texts if "-ops-" not in path.name]
    shortest = min(of_owners, key=lambda path: path.stat().st_size, default=None)
    if shortest is not None:
        terminal().rule(f"one of the letters: {shortest}")
        click.echo(shortest.read_text(encoding="utf-8"))
        terminal().rule()
    for path in texts:
        click.echo(f"  {path}")
    click.echo(
        f"each letter lies there as .eml, .txt and .html; also {out}/monitor.yaml, "
        f"{out}/inventory.csv and {out}/monitor.db"
    )
    click.echo(f"look closer: token-monitor -c {out}/monitor.yaml explain bakery-south")
