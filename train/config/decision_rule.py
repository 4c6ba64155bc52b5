"""The rules by which an operating point can be chosen, as recipes name them."""

import re

SENSITIVITY = re.compile(r"sensitivity>=(0\.\d+|1\.0)")


ALLOWED = '"argmax", "youden", or "sensitivity>=0.95" with any number from 0 to 1.0'


def is_rule(text: str) -> bool:
    """Whether a text names a rule: "argmax", "youden" or, for example, "sensitivity>=0.95"."""
    return text in ("argmax", "youden") or SENSITIVITY.fullmatch(text) is not None
