import json

import pytest

from space.errors import UsageError
from space.inference.lungs import BUNDLED
from train.segmentation.results import read_segmenter_results, write_segmenter_results


def test_results_come_back_as_they_were_written(tmp_path):
    results = read_segmenter_results(BUNDLED / "results.json")
    write_segmenter_results(tmp_path / "results.json", results)
    assert read_segmenter_results(tmp_path / "results.json") == results
    assert (tmp_path / "results.json").read_text() == (BUNDLED / "results.json").read_text()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"command": "x"}))
    with pytest.raises(UsageError, match=r"results\.json is damaged or was not written by this project"):
        read_segmenter_results(tmp_path / "results.json")
