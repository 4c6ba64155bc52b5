"""Files in, probabilities or the reason why there are none out: the one way from a file to an answer."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from space.errors import ErrorCode, XrayError
from space.imaging.archives import ImageFile
from space.imaging.xray import Limits, Xray, read_xray
from space.inference.guard import Doubt

if TYPE_CHECKING:  # takes seconds to import
    from space.inference.classifier import Classifier, ModelOutput


@dataclass(frozen=True, eq=False)
class ClassifiedImage:
    """An image and what the model answers.

    Attributes:
        xray: The radiograph, and what was done to its stored pixels.
        output: Probabilities, all finite, and whether the image is doubted.
    """

    xray: Xray
    output: "ModelOutput"


def classify_files(
    classifier: "Classifier", files: Iterable[ImageFile], limits: Limits = Limits(), guarded: bool = True
) -> list[ClassifiedImage | XrayError]:
    """Read images, classify them in one forward pass, and doubt those that are hardly frontal chest radiographs.

    Args:
        classifier: The model.
        files: The files; all of their images are held in memory at a time.
        limits: Largest file and image.
        guarded: Whether images are looked at for doubts, which takes time; without, none is doubted.

    Returns:
        For each file its answer, or the error for which there is none: it cannot be read, or the model returned
        NaN or infinity.
    """
    opened = [_read(file, limits, guarded) for file in files]
    images = [read[0].image for read in opened if not isinstance(read, XrayError)]
    outputs = iter(classifier.examine(images, guarded) if images else ())
    return [read if isinstance(read, XrayError) else _answer(*read, next(outputs)) for read in opened]


def _read(file: ImageFile, limits: Limits, guarded: bool) -> tuple[Xray, bool] | XrayError:
    """A radiograph, and whether the file has colours, which no radiograph has."""
    try:
        content = file() if callable(file) else file
        try:
            return read_xray(content, limits, strict=guarded), False
        except XrayError as error:
            if error.code != ErrorCode.COLOUR:
                raise
            return read_xray(content, limits), True
    except XrayError as error:
        return error


def _answer(xray: Xray, is_coloured: bool, output: "ModelOutput") -> ClassifiedImage | XrayError:
    if not np.isfinite(output.probabilities).all():
        return XrayError(ErrorCode.NOT_FINITE, "The model returned no valid probabilities: its weights are damaged.")
    return ClassifiedImage(xray, replace(output, doubt=Doubt.COLOUR) if is_coloured else output)
