"""results.json of a run folder."""

import json
from pathlib import Path

from space.errors import UsageError


def read_results(folder: Path) -> dict:
    """The results.json of a run that was evaluated.

    Raises:
        UsageError: There is none.
    """
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} has no results.json: a run without evaluation is not pushed.") from None
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}).") from None
    if not isinstance(results, dict) or not results.get("splits"):
        raise UsageError(f"{path} holds no evaluation: a run without one is not pushed.")
    return results
