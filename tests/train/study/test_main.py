"""`python -m train.study`: mistakes are reported at once."""

import pytest

from tests.conftest import run_python
from tests.train.study.test_study_file import STUDY, write_study


def test_a_folder_that_is_no_study_is_not_written_to(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = run_python("-m", "train.study", write_study(tmp_path), "--dataset", "x", "--output", tmp_path)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["factors.toml", "thesis.txt"]


@pytest.mark.parametrize(("options", "says"), [(["--jobs", "0"], "--jobs: '0'; it must be"), ([], "seeds")])
def test_a_mistake_is_one_line(tmp_path, monkeypatch, options, says):
    from space.errors import UsageError
    from train.study.__main__ import main

    text = STUDY if options else STUDY.replace("seeds = [0, 1]", "seeds = []")
    words = [str(write_study(tmp_path, text)), "--dataset", "x", "--output", str(tmp_path / "out"), *options]
    monkeypatch.setattr("sys.argv", ["study", *words])
    with pytest.raises(UsageError, match=says):
        main()
