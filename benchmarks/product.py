"""The product: what a sweep of it costs, as its own commands run it.

make      import the fleet into the database
sweep     one look at every token; `first` is the same on tokens never seen
due       one replica: ready, then go, then whatever is due
modules   as `sweep`, and leave the names of all modules behind
imports   import those modules and do nothing
"""

import asyncio
import importlib
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.fleet import APP, Job, Meter, tokens
from monitor.app import configure_log, open_house, open_store
from monitor.config import Settings, load
from monitor.core.inventory import Row
from monitor.jobs import Tally

_MODULES = "modules.json"


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a benchmark has a clock


def settings_of(job: Job) -> Settings:
    """The configuration in the job's folder."""
    settings = load(Path(job.folder, "monitor.yaml"), os.environ)
    configure_log(settings, "warning")
    return settings


async def _make(job: Job) -> None:
    rows = (
        Row(f"load-{n}", text, APP, f"owner-{n}@bench.example", kind="user")
        for n, text in enumerate(tokens(job.count))
    )
    async with open_store(settings_of(job)) as store:
        await store.inventory.import_rows(rows, now())


async def _sweep(job: Job, meter: Meter) -> None:
    async with open_house(settings_of(job)) as house:
        with meter as cost:
            tally = await house.checker.check_all()
        cost.tokens = _looked(tally)


async def _due(job: Job, meter: Meter) -> None:
    ahead = timedelta(hours=job.ahead)
    async with open_house(settings_of(job), lambda: now() + ahead) as house:
        print("ready", flush=True)
        sys.stdin.readline()
        with meter as cost:
            tally = await house.checker.check_due()
        cost.tokens = _looked(tally)


def _looked(tally: Tally) -> int:
    if tally.conclusive != tally.looked:
        raise SystemExit(f"only {tally.conclusive} of {tally.looked} were conclusive")
    return tally.looked


def _imports(job: Job) -> None:
    """Import what a sweep ended with; the peak is then that of the code alone."""
    names: list[str] = json.loads((job.home / _MODULES).read_text())
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - made at run time, such as alembic's
            print(f"not imported: {name}: {error!r:.60}", file=sys.stderr)


def main() -> None:
    job, meter = Job.read(), Meter()
    match job.kind:
        case "make":
            asyncio.run(_make(job))
        case "imports":
            _imports(job)
        case "due":
            asyncio.run(_due(job, meter))
        case _:
            asyncio.run(_sweep(job, meter))
    if job.kind == "modules":
        (job.home / _MODULES).write_text(json.dumps(list(sys.modules)))
    meter.cost.tell()


if __name__ == "__main__":
    main()
