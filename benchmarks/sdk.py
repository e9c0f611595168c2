"""Meta's own SDK, facebook-business: batches of fifty in threads, only asking."""

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.fleet import (
    APP,
    BATCH,
    SECRET,
    VERSION,
    Job,
    Meter,
    app_token,
    chunks,
    tokens,
)


def _ask_all(job: Job, batches: Any, lock: threading.Lock) -> int:  # noqa: ANN401 - an iterator
    """One thread's share; a session is not to be shared by threads."""
    api = importlib.import_module("facebook_business.api")
    session = importlib.import_module("facebook_business.session").FacebookSession(
        APP, SECRET, app_token()
    )
    session.GRAPH = job.url  # the SDK has no option for it
    session.requests.trust_env = False
    client = api.FacebookAdsApi(session, VERSION)
    done = 0

    def heard(response: Any) -> None:  # noqa: ANN401 - the SDK has no types
        nonlocal done
        done += response.json()["data"]["is_valid"]

    def refused(response: Any) -> None:  # noqa: ANN401 - the SDK has no types
        raise response.error()

    while True:
        with lock:
            texts = next(batches, None)
        if texts is None:
            return done
        batch = client.new_batch()
        for text in texts:
            batch.add(
                "GET",
                "debug_token",
                {"input_token": text},
                success=heard,
                failure=refused,
            )
        batch.execute()


def main() -> None:
    job, meter = Job.read(), Meter()
    importlib.import_module("facebook_business.api")
    batches, lock = chunks(tokens(job.count), BATCH), threading.Lock()
    with meter as cost, ThreadPoolExecutor(job.workers) as pool:
        shares = [pool.submit(_ask_all, job, batches, lock) for _ in range(job.workers)]
        cost.tokens = sum(share.result() for share in shares)
    cost.tell()


if __name__ == "__main__":
    main()
