"""`python -m train.segment`, from masks to a folder that works."""

import pytest

from space.inference.lungs import LungSegmenter
from tests.conftest import run_python
from train.segmentation.results import read_segmenter_results


@pytest.fixture(scope="module")
def segmenter(masked_dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("segmenter") / "lungs"
    options = ["--dataset", masked_dataset, "--output", output, "--epochs", "2", "--seed", "3"]
    return output, run_python("-m", "train.segment", *options)


def test_it_makes_a_folder_that_the_runtime_loads(segmenter):
    output, done = segmenter
    assert done.returncode == 0, done.stderr
    assert {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()} == {
        "README.md", "config.json", "model.safetensors", "onnx/model.onnx", "results.json",
    }  # fmt: skip
    assert LungSegmenter.load(output).sha256 != LungSegmenter.load().sha256
    results = read_segmenter_results(output / "results.json")
    assert (results.epochs, results.seed) == (2, 3)
    assert results.command == "python -m train.segment --dataset phantoms --output lungs --epochs 2 --seed 3"
    assert f"Dice {results.validation.mean.value:.3f} on validation" in done.stdout
    assert results.tests.keys() == {"phantoms"}
    assert str(output.parent) not in (output / "README.md").read_text() + (output / "results.json").read_text()


def test_it_refuses_what_cannot_work(segmenter, tmp_path):
    output, _ = segmenter
    full = run_python("-m", "train.segment", "--dataset", tmp_path, "--output", output, real=True)
    assert (full.returncode, full.stderr.count("\n")) == (2, 1)
    assert full.stderr.startswith(f"error: --output {output} exists already")
    wrong = run_python("-m", "train.segment", "--dataset", tmp_path / "none", "--output", tmp_path / "new")
    assert wrong.returncode == 2
    assert "no such file or folder" in wrong.stderr
    assert not (tmp_path / "new").exists()
