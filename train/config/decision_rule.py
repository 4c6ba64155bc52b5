"""The rules by which an operating point can be chosen, as recipes name them."""

import re

SENSITIVITY = re.compile(r"sensitivity>=(0\.\d+|1\.0)")


def check_rule(text: str) -> str:
    """Return a text that names a rule: "argmax", "youden" or, for example, "sensitivity>=0.95".

    Raises:
        ValueError: It names none.
    """
    if text not in ("argmax", "youden") and not SENSITIVITY.fullmatch(text):
        raise ValueError('"argmax", "youden", or "sensitivity>=0.95" with any number from 0 to 1.0')
    return text
