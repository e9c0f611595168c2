"""What is compared with what, in one run each, and the tables of it."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.fleet import Cost, Job, cores
from benchmarks.homes import Home, LightHome, PostgresHome
from benchmarks.processes import Stand, run, run_replicas, stand_in

_SINGLE, _SINGLE_LATE = 2_000, 50
"""The most tokens asked one by one; more would only take longer."""
_SDK = 8
"""Threads of the SDK."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for."""

    tokens: int
    workers: int
    rounds: int
    latency: str
    late_workers: int
    sizes: tuple[int, ...]
    replicas: tuple[int, ...]
    postgres: str
    letters: int


Costs = dict[str, list[Cost]]


def speed(plan: Plan) -> None:
    """Everybody, answered at once."""
    _compare(plan, "0", plan.workers)


def latency(plan: Plan) -> None:
    """Everybody, answered as late as Meta does, with more workers."""
    _compare(plan, plan.latency, plan.late_workers)


def _compare(plan: Plan, late: str, workers: int) -> None:
    costs: Costs = {}
    with stand_in(late) as stand, _homes(plan, stand, plan.tokens, workers) as homes:
        job = Job("", stand.url, plan.tokens, workers, core=cores()[1])
        asked = {
            "httpx own": ("benchmarks.bare", replace(job, kind="own")),
            "httpx pool": ("benchmarks.bare", replace(job, kind="pool")),
        }
        if importlib.util.find_spec("facebook_business"):
            asked["sdk"] = ("benchmarks.sdk", replace(job, kind="sdk", workers=_SDK))
        few = min(plan.tokens, _SINGLE if late == "0" else _SINGLE_LATE)
        asked["single"] = ("benchmarks.bare", replace(job, kind="single", count=few))
        for _ in range(plan.rounds):
            for home in homes:
                _both(home, stand, costs)
            for name, (module, one) in asked.items():
                costs.setdefault(name, []).append(run(module, one, stand))
        flood = run("benchmarks.light", replace(job, kind="flood"), stand)
    print(
        f"\n{plan.tokens} tokens, {workers} workers, answers after {late}, "
        f"the median of {plan.rounds} rounds"
    )
    _table(costs)
    print(f"the stand-in alone: {flood.tokens / flood.wall:.0f} tokens/s")
    if "sdk" not in costs:
        print("sdk: left out, facebook-business is not installed")


def sizes(plan: Plan) -> None:
    """The yardstick and the product by the number of tokens."""
    for count in plan.sizes:
        costs: Costs = {}
        with stand_in() as stand, _homes(plan, stand, count, plan.workers) as homes:
            for _ in range(1 if count > 50_000 else plan.rounds):
                for home in homes:
                    _both(home, stand, costs)
        print(f"\n{count} tokens, {plan.workers} workers, answers at once")
        _table(costs)


def memory(plan: Plan) -> None:
    """What a sweep holds beyond the code it runs, by the number of tokens."""
    print(f"\n{'peak MB':24}{'first':>9}{'sweep':>9}{'imports':>9}{'beyond':>9}")
    for count in (min(plan.sizes), max(plan.sizes)):
        with stand_in() as stand, _homes(plan, stand, count, plan.workers) as homes:
            for home in homes[1:]:
                home.fresh()
                job = home.job
                first = run(home.module, replace(job, kind="first"), stand).peak
                again = run(home.module, replace(job, kind="modules"), stand).peak
                bare = run(home.module, replace(job, kind="imports")).peak
                print(
                    f"{f'{home.name}, {count} tokens':24}{first:>9.1f}{again:>9.1f}"
                    f"{bare:>9.1f}{max(first, again) - bare:>9.1f}"
                )


def replicas(plan: Plan) -> None:
    """Several daemons on one PostgreSQL, everything due at once."""
    if not plan.postgres:
        print("\nreplicas: needs --postgres URL")
        return
    for late, workers in (("0", plan.workers), (plan.latency, plan.late_workers)):
        costs: Costs = {}
        count = plan.tokens
        with stand_in(late) as stand, _homes(plan, stand, count, workers) as homes:
            home = homes[-1]
            home.fresh()
            run(home.module, replace(home.job, kind="first"), stand)
            ahead = 0
            for _ in range(plan.rounds):
                for number in plan.replicas:
                    # Beyond the interval between two checks, all are due again.
                    ahead += 7
                    cost = run_replicas(replace(home.job, ahead=ahead), number, stand)
                    costs.setdefault(f"{number} replicas", []).append(cost)
        print(
            f"\n{count} tokens due, {workers} workers each, answers after {late}, "
            "replicas on any core; the database's CPU is not counted"
        )
        _table(costs, f"{plan.replicas[0]}")


def copy(plan: Plan) -> None:
    """Recording alone: COPY and merge by hand, and the product's own way."""
    if not plan.postgres:
        print("\ncopy: needs --postgres URL")
        return
    costs: Costs = {}
    with stand_in() as stand, _homes(plan, stand, plan.tokens, plan.workers) as homes:
        job = homes[-1].job
        for _ in range(plan.rounds):
            homes[-1].fresh()
            for kind in ("hand first", "hand sweep", "product first", "product sweep"):
                cost = run("benchmarks.copy_merge", replace(job, kind=kind))
                costs.setdefault(kind, []).append(cost)
    print(
        f"\n{plan.tokens} answers recorded on PostgreSQL in groups of 1000; "
        "the database's CPU is not counted"
    )
    _table(costs, "hand")


def letters(plan: Plan) -> None:
    """Letters composed, and handed over; in a process that keeps to its core."""
    command = [sys.executable, str(Path(__file__).with_name("letters.py"))]
    sizes = ["--letters", str(plan.letters), "--rounds", str(plan.rounds)]
    sys.stdout.flush()
    subprocess.run([*command, *sizes], check=True)


SUITES: dict[str, Callable[[Plan], None]] = {
    "speed": speed,
    "latency": latency,
    "sizes": sizes,
    "memory": memory,
    "replicas": replicas,
    "copy": copy,
    "letters": letters,
}


@contextmanager
def _homes(
    plan: Plan, stand: Stand, count: int, workers: int
) -> Iterator[Sequence[Home]]:
    """The yardstick, the product on SQLite and, if there is one, on PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        core = cores()[1]

        def job(folder: str) -> Job:
            place = str(Path(name, folder))
            return Job("", stand.url, count, workers, place, core=core)

        homes = [LightHome("light", job("light")), Home("product", job("sqlite"))]
        if plan.postgres:
            postgres = PostgresHome("postgres", job("pg"), server=plan.postgres)
            homes.append(postgres)
        try:
            for home in homes:
                home.make()
            yield homes
        finally:
            for home in homes:
                home.drop()


def _both(home: Home, stand: Stand, costs: Costs) -> None:
    """A sweep over tokens never seen, and one over tokens known and unchanged."""
    home.fresh()
    for kind in ("first", "sweep"):
        cost = run(home.module, replace(home.job, kind=kind), stand)
        costs.setdefault(f"{home.name} {kind}", []).append(cost)


def _table(costs: Costs, yard: str = "light") -> None:
    """Medians, and the medians of each round's ratio to the yardstick."""
    print(
        f"{'':16}{'tokens/s':>10}{f'of {yard}':>10}{'CPU ms/1000':>13}"
        f"{f'x {yard}':>9}{'peak MB':>9}{'stand-in':>10}"
    )
    for name, found in costs.items():
        against = f"{yard} {name.rpartition(' ')[2]}"
        yards = costs.get(against) or costs[f"{yard} sweep"]
        pairs = list(zip(found, yards, strict=True))
        rate = median(_rate(cost) for cost in found)
        of = median(_rate(cost) / _rate(light) for cost, light in pairs)
        cpu = median(1_000_000 * _cpu(cost) for cost in found)
        times = median(_cpu(cost) / _cpu(light) for cost, light in pairs)
        print(
            f"{name:16}{rate:>10.0f}{of:>10.2f}{cpu:>13.1f}{times:>9.1f}"
            f"{median(cost.peak for cost in found):>9.0f}"
            f"{median(cost.busy for cost in found):>10.0%}"
        )


def _rate(cost: Cost) -> float:
    return cost.tokens / cost.wall


def _cpu(cost: Cost) -> float:
    return cost.cpu / cost.tokens
