"""results.json of a study: read as it was written."""

import json

import pytest

from space.errors import UsageError
from tests.conftest import REPOSITORY
from train.study.results import read_study, write_study

COMMITTED = REPOSITORY / "train" / "studies" / "pneumonia-factors" / "results.json"  # written before there were types


def test_an_earlier_studys_results_open_and_are_written_the_same(tmp_path):
    results = read_study(COMMITTED)
    write_study(tmp_path / "results.json", results)
    assert read_study(tmp_path / "results.json") == results
    recorded, written = (json.loads(path.read_text()) for path in (COMMITTED, tmp_path / "results.json"))
    assert written["runs"] == [run | {"left_out": []} for run in recorded["runs"]]
    assert written["rows"] == recorded["rows"]
    assert results.rows[0].measures[results.study.metric].difference.n == len(results.study.seeds)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"runs": []}))
    with pytest.raises(UsageError, match="was not written by this project"):
        read_study(tmp_path / "results.json")
