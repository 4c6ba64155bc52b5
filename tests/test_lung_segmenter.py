"""The lung segmenter that comes with the project: it is what its card says it is."""

import numpy as np
import pytest
from PIL import Image

from space.imaging.xray import read_xray
from space.inference.lungs import BUNDLED, SIZE, LungSegmenter
from train.segmentation.dice import dice
from train.segmentation.results import read_segmenter_results
from train.segmentation.save import check_segmenter, render_segmenter_card


def test_it_is_small_and_its_graph_is_what_its_weights_give():
    files = {path.relative_to(BUNDLED).as_posix(): path for path in BUNDLED.rglob("*") if path.is_file()}
    assert files.keys() == {"README.md", "config.json", "model.safetensors", "onnx/model.onnx", "results.json"}
    assert sum(path.stat().st_size for path in files.values()) <= 2.1 * 10**6
    check_segmenter(BUNDLED)


def test_its_card_is_rendered_from_its_results_and_attributes_the_masks():
    card = (BUNDLED / "README.md").read_text()
    assert card == render_segmenter_card(read_segmenter_results(BUNDLED / "results.json"))
    assert "V7 Labs" in card
    assert "CC BY 4.0" in card


def test_on_real_test_radiographs_it_reaches_what_its_card_claims(real_kermany):
    files = sorted((real_kermany / "lung_masks" / "test").glob("*/*.png"))
    images = [
        read_xray(real_kermany / "chest_xray" / "test" / file.parent.name / f"{file.stem}.jpeg").image for file in files
    ]
    masks = [np.asarray(Image.open(file).resize((SIZE, SIZE), Image.Resampling.NEAREST)) for file in files]
    pixels = np.stack([np.asarray(image) for image in images])
    probabilities = LungSegmenter.load().masks(pixels)
    small = np.stack([np.asarray(Image.fromarray(p).resize((SIZE, SIZE))) for p in probabilities])
    measured = dice(small, np.stack(masks)).mean()
    recorded = read_segmenter_results(BUNDLED / "results.json").tests["chest-xray-pneumonia"]
    assert len(files) == recorded.images == 256
    assert measured == pytest.approx(recorded.mean.value, abs=0.005)
    # The lungs' share of an image: none is missed, none fills the image.
    areas = (probabilities >= 0.5).mean(axis=(1, 2))
    assert ((areas > 0.05) & (areas < 0.7)).mean() > 0.99
