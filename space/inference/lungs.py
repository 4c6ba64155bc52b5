"""Where the lungs are in a frontal radiograph, by the graph of a small network."""

import hashlib
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from space.errors import UsageError, first_line
from space.inference.graph import EXACT, FILE, INPUT, read_graph
from space.inference.resizing import Resizing

BUNDLED = Path(__file__).resolve().parents[1] / "lung-segmenter"
SIZE = 128  # pixels: height and width of what the graph sees
OUTPUT = "lung"  # name in the graph: (N, 1, SIZE, SIZE) float32, probabilities in [0, 1]
RESIZING = Resizing(SIZE, SIZE)
BATCH_SIZE = 32


class LungSegmenter:
    """The segmenter's graph, run by OpenVINO on the CPU in float32; may be used from several threads.

    Attributes:
        sha256: Of the graph, in hexadecimal digits.
    """

    def __init__(self, content: bytes):
        """Compile a graph.

        Args:
            content: Of the file.

        Raises:
            ValueError: It is not such a graph, or it is damaged.
        """
        core, model = read_graph(content)
        shapes = {port.get_any_name(): port.partial_shape.to_string() for port in (*model.inputs, *model.outputs)}
        if shapes != dict.fromkeys((INPUT, OUTPUT), f"[?,1,{SIZE},{SIZE}]"):
            raise ValueError(f"its inputs and outputs are {shapes}, not those of a lung segmenter")
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._request = core.compile_model(model, "CPU", EXACT).create_infer_request()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path = BUNDLED) -> "LungSegmenter":
        """Read and compile a folder's graph.

        Raises:
            UsageError: There is none, or it cannot be used.
        """
        try:
            return cls((folder / FILE).read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"the lung segmenter {folder / FILE} cannot be used: {first_line(error)}") from None

    def masks(self, pixels: np.ndarray) -> np.ndarray:
        """Where the lungs are.

        Args:
            pixels: (N, H, W) uint8, whole frontal radiographs, upright; their aspect ratio may be squeezed.

        Returns:
            (N, H, W) float32: the probability in [0, 1] that a pixel shows lung, the lung behind the heart included.
        """
        height, width = pixels.shape[1:]
        masks = np.empty(pixels.shape, np.float32)
        for start in range(0, len(pixels), BATCH_SIZE):
            batch = [RESIZING(Image.fromarray(image)) for image in pixels[start : start + BATCH_SIZE]]
            for place, small in enumerate(self.run(np.stack(batch)), start):
                masks[place] = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))
        return masks

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Compute.

        Args:
            pixels: (N, SIZE, SIZE) uint8.

        Returns:
            (N, SIZE, SIZE) float32, probabilities in [0, 1].
        """
        with self._lock:  # results are views of the request's memory
            results = self._request.infer([np.ascontiguousarray(pixels[:, None])], share_inputs=True)
            return results[0][:, 0].copy()
