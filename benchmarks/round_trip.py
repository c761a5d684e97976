"""What is written in any dialect comes back equal, or is refused: many random examples.

    python -m benchmarks.round_trip --examples 2000

Each example writes up to eight records with hostile names in a random separator, quoting, line end,
encoding, compression, form of numbers and times, with a header or without one, and reads them
back; half of them without the options that the first lines make unnecessary. Printed and written
are the numbers of examples that came back equal, that were refused, of which rows were dropped and
counted, and that came back different without a word, which has to be none.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.conditions import conditions
from tests.training.datasets.reading.dialects.round_trip import Record, Written, outcome, tables

RESULTS: Final = Path(__file__).parent / "results" / "round_trip.json"
_VALUE: Final = re.compile(r"'.*'|/tmp/\S+|\d+")


def measure(examples: int, start: int) -> tuple[Counter[str], Counter[str]]:
    """Returns the numbers of outcomes, and of the reasons of refusals.

    Args:
        examples: how many to draw.
        start: seed of the draws.

    Raises:
        SystemExit: records came back different.
    """
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()

    @seed(start)
    @settings(
        deadline=None,
        max_examples=examples,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(tables())
    def run(table: tuple[Written, list[Record]]) -> None:
        written, records = table
        with tempfile.TemporaryDirectory() as folder:
            found = outcome(written, records, Path(folder))
        kind, _, reason = found.partition(": ")
        if kind == "different":
            raise SystemExit(f"{found}\n{written}\n{records}")
        told = "with all options" if written.is_told else "by the first lines"
        outcomes[f"{kind}, {told}"] += 1
        if reason:
            reasons[_VALUE.sub("…", reason)[:80]] += 1

    run()
    return outcomes, reasons


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    outcomes, reasons = measure(options.examples, options.seed)
    result = {
        "conditions": conditions(),
        "seed": options.seed,
        "examples": sum(outcomes.values()),
        "different": 0,
        "outcomes": dict(sorted(outcomes.items())),
        "reasons": dict(reasons.most_common(20)),
    }
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
