"""How quick the product is, beside the speed of light and beside loops that only ask.

    python benchmarks/run.py [speed] [latency] [sizes] [memory] [replicas] [copy]
        [letters] [--postgres postgresql://user@host/name]
        [--tokens 20000] [--rounds 5] ...

Nothing named: all of them; `replicas` and `copy` need PostgreSQL. Ratios of one run
are what counts; tokens per second belong to the machine. See docs/performance.md.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.graph import seconds
from benchmarks.suites import SUITES, Plan


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; none: all")
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", default="120ms", help="of late answers")
    parser.add_argument("--late-workers", type=int, default=64)
    parser.add_argument("--sizes", type=_numbers, default=(2_000, 20_000, 200_000))
    parser.add_argument("--replicas", type=_numbers, default=(1, 2, 3))
    parser.add_argument("--letters", type=int, default=2_000)
    parser.add_argument("--postgres", default="", help="whose user may make databases")
    options = parser.parse_args()
    seconds(options.latency)
    chosen = options.suites or list(SUITES)
    for name in chosen:
        if name not in SUITES:
            parser.error(f"{name} is none of {', '.join(SUITES)}")
    plan = Plan(
        options.tokens,
        options.workers,
        options.rounds,
        options.latency,
        options.late_workers,
        options.sizes,
        options.replicas,
        options.postgres,
        options.letters,
    )
    began = time.perf_counter()
    for name in chosen:
        SUITES[name](plan)
    print(f"\ntook {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
