"""Whether our request parser and h11 agree on requests made at random: `python -m bench.http1`.

A longer run of what `tests/unit/sansio/test_http1.py` does for a second.  It ends with status 1
if any input was read in another way than by h11, apart from the differences that
`tests/unit/sansio/http1_examples.py` lists.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

from bench.rig import machine
from tests.unit.sansio.http1_examples import disagreement, random_requests

_SHOWN = 20


def main() -> int:
    """Compare, print how often both did what, and every disagreement."""
    parser = argparse.ArgumentParser(prog="bench.http1", description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="to repeat a run")
    options = parser.parse_args()
    print(machine())
    print(f"{options.examples} examples, seed {options.seed}", flush=True)
    random = Random(options.seed)
    outcomes: Counter[str] = Counter()
    wrong = 0
    for _ in range(options.examples):
        data = random_requests(random)
        why, outcome = disagreement(data)
        outcomes[outcome or "DISAGREE"] += 1
        if why:
            wrong += 1
            if wrong <= _SHOWN:
                print(f"\n{data!r}\n {why}", flush=True)
    print()
    for outcome, count in outcomes.most_common():
        print(f"{count:10} {outcome}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
