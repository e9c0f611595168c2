"""Loops that only ask, over httpx: what one would write in an afternoon.

own     batches of fifty, one client for each worker
pool    batches of fifty, one client for all workers
single  one GET for each token, one after the other
"""

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import httpx

from benchmarks.fleet import (
    BATCH,
    VERSION,
    Job,
    Meter,
    app_token,
    chunks,
    proof,
    tokens,
)

_HEADERS = {
    "Authorization": f"Bearer {app_token()}",
    "Content-Type": "application/x-www-form-urlencoded",
}
_TIMEOUT = 30


def _form(texts: list[str]) -> str:
    items = [
        {"method": "GET", "relative_url": f"debug_token?input_token={quote(text)}"}
        for text in texts
    ]
    return urlencode({"batch": json.dumps(items), "appsecret_proof": proof()})


async def _ask_all(
    client: httpx.AsyncClient, url: str, batches: Iterator[list[str]]
) -> int:
    """Ask until nothing is left; the answers are parsed, and thrown away."""
    done = 0
    for batch in batches:
        reply = await client.post(
            f"{url}/{VERSION}/", content=_form(batch), headers=_HEADERS
        )
        reply.raise_for_status()
        done += sum(
            json.loads(item["body"])["data"]["is_valid"] for item in reply.json()
        )
    return done


async def _own(job: Job) -> int:
    batches = chunks(tokens(job.count), BATCH)
    limits = httpx.Limits(max_connections=1)
    verify = httpx.create_ssl_context(trust_env=False)

    async def work() -> int:
        async with httpx.AsyncClient(
            limits=limits, trust_env=False, verify=verify, timeout=_TIMEOUT
        ) as client:
            return await _ask_all(client, job.url, batches)

    return sum(await asyncio.gather(*(work() for _ in range(job.workers))))


async def _pool(job: Job) -> int:
    batches = chunks(tokens(job.count), BATCH)
    limits = httpx.Limits(max_connections=job.workers)
    async with httpx.AsyncClient(
        limits=limits, trust_env=False, timeout=_TIMEOUT
    ) as client:
        work = (_ask_all(client, job.url, batches) for _ in range(job.workers))
        return sum(await asyncio.gather(*work))


def _single(job: Job) -> int:
    done = 0
    url = f"{job.url}/{VERSION}/debug_token"
    with httpx.Client(trust_env=False, timeout=_TIMEOUT) as client:
        for text in tokens(job.count):
            reply = client.get(url, params={"input_token": text}, headers=_HEADERS)
            reply.raise_for_status()
            done += reply.json()["data"]["is_valid"]
    return done


def main() -> None:
    job, meter = Job.read(), Meter()
    with meter as cost:
        if job.kind == "single":
            cost.tokens = _single(job)
        else:
            cost.tokens = asyncio.run({"own": _own, "pool": _pool}[job.kind](job))
    cost.tell()


if __name__ == "__main__":
    main()
