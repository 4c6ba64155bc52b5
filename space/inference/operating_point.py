"""How probabilities become a decision: at the most probable class, or at a binary model's operating point."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from space.errors import UsageError


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class OperatingPoint:
    """The probability from which a binary classifier calls an image positive.

    Attributes:
        rule: How it was chosen on validation: "youden", "youden-worst", or, for example, "sensitivity>=0.95".
        positive_label: The class that is called.
        threshold: Its least probability that is called, in [0, 1].
    """

    rule: str
    positive_label: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.positive_label} from a probability of {self.threshold} ({self.rule})"

    @classmethod
    def of_config(cls, values: Mapping[str, Any] | None, labels: Sequence[str]) -> "OperatingPoint | None":
        """Read `operating_point` of a model's config.json; None where it has none.

        Args:
            values: `{"rule", "positive_label", "threshold"}`, or None.
            labels: The model's labels.

        Raises:
            UsageError: It is malformed, or is not one of a model with these labels.
        """
        if values is None:
            return None
        try:
            point = TypeAdapter(cls).validate_python(values)
        except ValidationError:
            raise UsageError(
                f"operating_point in config.json is {values!r}. It must hold rule, positive_label and threshold."
            ) from None
        if len(labels) != 2 or point.positive_label not in labels:
            raise UsageError(
                f"operating_point in config.json calls {point.positive_label!r}. It must be one of exactly two labels; "
                f"the model has: {', '.join(labels)}."
            )
        return point


def decide(probabilities: np.ndarray, point: OperatingPoint | None, labels: Sequence[str]) -> np.ndarray:
    """Turn probabilities into decisions, by an operating point or, where there is none, by argmax.

    Args:
        probabilities: (N, K).
        point: Of a binary model, or None.
        labels: Class names in the order of the probabilities.

    Returns:
        Class indices (N,).
    """
    if point is None:
        return probabilities.argmax(axis=1)
    positive = labels.index(point.positive_label)
    return np.where(probabilities[:, positive] >= point.threshold, positive, 1 - positive)
