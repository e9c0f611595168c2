"""How quick a sweep is: ask, judge and record, beside loops that only ask.

One run, one simulated Graph in its own process, so ratios are fair whatever the
machine does. Each contender runs in a process of its own, for its CPU and memory.

    python benchmarks/sweep.py [--tokens 20000] [--memory 2000,200000] [--workers 8]

Contenders:
    batch   httpx alone: the same POSTs of 50, the answers thrown away
    single  httpx alone: one `debug_token` GET for each token
    sweep   the product on SQLite: read, unseal, ask, judge, record
    first   the same on tokens never seen before, each of which writes history
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx

from monitor.app import configure_log, open_house, open_store
from monitor.config import load, new_key
from monitor.core.inventory import Row
from monitor.sandbox.scenario import group_text

APP, SECRET = "1234567890", "benchmark-secret"

SCENARIO = """\
apps: [{{id: "{app}", name: Bench, secret: {secret}}}]
owners: {{o: {{email: "owner-{{n}}@bench.example", name: Owner}}}}
groups:
  - id: "load-{{n}}"
    count: {count}
    app: "{app}"
    kind: user
    owner: o
    expires_in: 50d
    data_access_expires_in: 80d
    scopes: [ads_read, ads_management, pages_show_list]
"""

CONFIG = """\
database: sqlite:///{database}
keys: [{{id: k1, secret_file: {key}}}]
graph: {{base_url: "{url}", workers: {workers}}}
apps: [{{id: "{app}", name: Bench, secret: {secret}}}]
policies: [{{name: default, required_scopes: [ads_read]}}]
mail: {{host: 127.0.0.1, port: 9, tls: none, from: bench@bench.example}}
operator: {{email: [ops@bench.example]}}
"""


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a benchmark has a clock


def tokens(count: int) -> Iterator[str]:
    return (group_text(0, number) for number in range(count))


async def _batches(url: str, count: int, workers: int) -> None:
    """Every token asked by POSTs of 50 over httpx; nothing is done with answers.

    No code of the product: what somebody would write who only wants to ask.
    """
    key, message = SECRET.encode(), f"{APP}|{SECRET}".encode()
    proof = hmac.new(key, message, hashlib.sha256).hexdigest()
    chunks = _chunks(tokens(count), 50)
    headers = {
        "Authorization": f"Bearer {APP}|{SECRET}",
        "Content-Type": "application/x-www-form-urlencoded",
    }

    async def work() -> None:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
            for chunk in chunks:
                items = [
                    {
                        "method": "GET",
                        "relative_url": f"debug_token?input_token={quote(token)}",
                    }
                    for token in chunk
                ]
                form = {"batch": json.dumps(items), "appsecret_proof": proof}
                reply = await client.post(
                    f"{url}/v25.0/", content=urlencode(form), headers=headers
                )
                reply.raise_for_status()

    await asyncio.gather(*(work() for _ in range(workers)))


async def _singles(url: str, count: int, workers: int) -> None:
    """Every token asked by a GET of its own."""
    all_tokens = tokens(count)

    async def work() -> None:
        limits = httpx.Limits(max_connections=1)
        headers = {"Authorization": f"Bearer {APP}|{SECRET}"}
        async with httpx.AsyncClient(
            limits=limits, trust_env=False, headers=headers
        ) as client:
            for token in all_tokens:
                reply = await client.get(
                    f"{url}/v25.0/debug_token?input_token={quote(token)}"
                )
                reply.raise_for_status()

    await asyncio.gather(*(work() for _ in range(workers)))


def _chunks(source: Iterator[str], size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    for each in source:
        chunk.append(each)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _sweep(config: Path) -> int:
    settings = load(config, os.environ)
    configure_log(settings, "warning")
    async with open_house(settings) as house:
        tally = await house.checker.check_all()
    if tally.conclusive != tally.looked:
        raise SystemExit(f"only {tally.conclusive} of {tally.looked} were conclusive")
    return tally.looked


async def _import(config: Path, count: int) -> None:
    settings = load(config, os.environ)
    rows = (
        Row(f"load-{n}", text, APP, f"owner-{n}@bench.example", kind="user")
        for n, text in enumerate(tokens(count))
    )
    async with open_store(settings) as store:
        await store.inventory.import_rows(rows, now())


def contend(kind: str, url: str, count: int, workers: int, config: Path) -> None:
    """Run one contender in this process and print what it cost."""
    if kind == "import":
        asyncio.run(_import(config, count))
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu, wall = used.ru_utime + used.ru_stime, time.perf_counter()
    if kind == "batch":
        asyncio.run(_batches(url, count, workers))
    elif kind == "single":
        asyncio.run(_singles(url, count, workers))
    else:
        asyncio.run(_sweep(config))
    wall = time.perf_counter() - wall
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "peak_mb": used.ru_maxrss / 1024}))


def _run(*arguments: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--contender", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout or "{}")
    return result


def _serve(folder: Path, count: int) -> tuple[subprocess.Popen[str], str]:
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO.format(app=APP, secret=SECRET, count=count))
    command = [sys.executable, "-m", "monitor", "sandbox", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--scenario", str(scenario)], stdout=subprocess.PIPE, text=True
    )
    if server.stdout is None:
        raise SystemExit("the sandbox has no output")
    return server, server.stdout.readline().split()[-1]


def _configure(folder: Path, url: str, workers: int) -> Path:
    folder.mkdir()
    key = folder / "monitor.key"
    key.write_text(new_key())
    config = folder / "monitor.yaml"
    config.write_text(
        CONFIG.format(
            database="monitor.db",
            key=key.name,
            url=url,
            app=APP,
            secret=SECRET,
            workers=workers,
        )
    )
    return config


def compare(count: int, workers: int, rounds: int) -> None:
    """All contenders in turn, several rounds; the median round of each counts."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, url = _serve(folder, count)
        try:
            config = _configure(folder / "sweep", url, workers)
            _run("import", url, count, workers, config)
            _run("batch", url, count, workers, config)  # the server has seen them all
            plan = ["first", *(["batch", "sweep"] * rounds), "single"]
            for kind in plan:
                amount = min(count, 2000) if kind == "single" else count
                result = _run(kind, url, amount, workers, config)
                result["rate"] = amount / result["wall"]
                result["cpu_ms"] = 1_000_000 * result["cpu"] / amount
                found.setdefault(kind, []).append(result)
        finally:
            server.terminate()
            server.wait()
    middle = {
        kind: sorted(results, key=itemgetter("rate"))[len(results) // 2]
        for kind, results in found.items()
    }
    bare = middle["batch"]["rate"]
    print(f"{count} tokens, {workers} workers, the median of {rounds} rounds")
    print(f"{'':8}{'tokens/s':>10}{'of batch':>10}{'CPU ms/1000':>13}{'peak MB':>9}")
    for kind in ("batch", "sweep", "first", "single"):
        result = middle[kind]
        print(
            f"{kind:8}{result['rate']:>10.0f}{result['rate'] / bare:>10.2f}"
            f"{result['cpu_ms']:>13.0f}{result['peak_mb']:>9.0f}"
        )
    pairs = zip(found["batch"], found["sweep"], strict=True)
    ratios = sorted(sweep["rate"] / batch["rate"] for batch, sweep in pairs)
    print("sweep of batch, round by round:", *(f"{ratio:.2f}" for ratio in ratios))


def memory(counts: list[int], workers: int) -> None:
    """Peak memory of a sweep by the number of tokens."""
    peaks: dict[int, float] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            server, url = _serve(folder, count)
            try:
                config = _configure(folder / "sweep", url, workers)
                _run("import", url, count, workers, config)
                first = _run("first", url, count, workers, config)["peak_mb"]
                again = _run("sweep", url, count, workers, config)["peak_mb"]
                peaks[count] = max(first, again)
            finally:
                server.terminate()
                server.wait()
        print(f"peak memory of a sweep over {count} tokens: {peaks[count]:.1f} MB")
    print(f"difference: {max(peaks.values()) - min(peaks.values()):.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", default="", help="counts, such as 2000,200000")
    parser.add_argument("--contender", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        kind, url, count, workers, config = options.contender
        contend(kind, url, int(count), int(workers), Path(config))
        return
    began = timedelta(seconds=time.perf_counter())
    if options.memory:
        memory([int(count) for count in options.memory.split(",")], options.workers)
    else:
        compare(options.tokens, options.workers, options.rounds)
    took = timedelta(seconds=time.perf_counter()) - began
    print(f"took {took.total_seconds():.0f} s")


if __name__ == "__main__":
    main()
