"""The rules by which an operating point can be chosen, as recipes name them."""

import re

# "sensitivity>=0.95" or "specificity>=0.9": what must be reached, and the share of it.
AT_LEAST = re.compile(r"(sensitivity|specificity)>=(0\.\d+|1\.0)")


def check_rule(text: str) -> str:
    """Return a text that names a rule: see `train.evaluation.operating_point.choose_threshold`.

    Raises:
        ValueError: It names none.
    """
    if text not in ("argmax", "youden", "youden-worst") and not AT_LEAST.fullmatch(text):
        raise ValueError(
            '"argmax", "youden", "youden-worst", or "sensitivity>=0.95" or "specificity>=0.9" with any number from 0 '
            "to 1.0"
        )
    return text
