"""What differs between two run folders that evaluate one model.

python -m tests.benchmarks.compare_runs RUN1 RUN2

Exit code 1 if predictions, golden outputs, tables or weights differ in a byte, or a number of results.json by more than
1e-12. Keys that only one of them has, and the time of evaluation, are printed alone.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = (
    "predictions.csv", "golden.safetensors", "guard.safetensors", "model.safetensors", "classification_report.csv",
    "confusion_matrix.csv", "history.csv",
)  # fmt: skip
TOLERANCE = 1e-12
MISSING = object()


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested JSON with the path that leads to it."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{place}.{key}".lstrip("."))
    else:
        yield place, value


def is_close(first: Any, second: Any) -> bool:
    """Whether both are numbers that differ by rounding at most."""
    numbers = isinstance(first, float | int) and isinstance(second, float | int)
    return numbers and math.isclose(first, second, rel_tol=0, abs_tol=TOLERANCE)


def main() -> int:
    """Compare two run folders; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.compare_runs", description=__doc__.splitlines()[0]
    )
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="run folder")
    runs = parser.parse_args().runs
    different = [name for name in FILES if len({(run / name).read_bytes() for run in runs}) > 1]
    first, second = (dict(leaves(json.loads((run / "results.json").read_text(encoding="utf-8")))) for run in runs)
    rounded = []
    for place in sorted(first.keys() | second.keys()):
        values = [results.get(place, MISSING) for results in (first, second)]
        if values[0] == values[1]:
            continue
        if MISSING in values:
            print(f"only in {runs[values[0] is MISSING]}: {place}")
        elif is_close(*values):
            rounded.append(abs(values[0] - values[1]))
        else:
            print(f"{place}: {values[0]} / {values[1]}")
            different += [] if place == "evaluated" else [place]
    print(f"{len(rounded)} numbers differ by rounding, at most {max(rounded, default=0.0):.1e}")
    print(f"different: {', '.join(different) or 'nothing'}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
