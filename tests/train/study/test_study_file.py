"""STUDY.toml, read strictly."""

from pathlib import Path

import pytest

from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from train.study.study_file import load_study

STUDY = f"""
question = "Does a slower start matter?"
base = "{TINY_RECIPE}"
mode = "one-at-a-time"
seeds = [0, 1]
metric = "validation_auroc"

[base_changes]
epochs = 1
init = "scratch"
max_steps = 2
tracker = "none"

[factors.learning-rate]
slow = {{ learning_rate = 1e-4 }}
"""
HOSPITALS = STUDY.replace("seeds = [0, 1]", 'seeds = [0, 1]\nleave_out = [["NIH"], [], ["South A", "South-B"]]')
MORE = """
[factors.smoothing]
some = { label_smoothing = 0.05 }
much.training = { label_smoothing = 0.2 }
"""


def write_study(folder: Path, text: str = STUDY) -> Path:
    path = folder / "factors.toml"
    path.write_text(text)
    return path


def test_a_study_without_hospitals_to_leave_out_reads_test_if_it_has_seeds_enough(tmp_path):
    study = load_study(write_study(tmp_path))
    assert (study.leave_out, study.leaves_out, study.reads_test) == (((),), False, True)
    assert not load_study(write_study(tmp_path, STUDY.replace("[0, 1]", "[0]"))).reads_test
    hospitals = load_study(write_study(tmp_path, HOSPITALS))
    assert hospitals.leave_out == ((), ("NIH",), ("South A", "South-B"))
    assert (hospitals.leaves_out, hospitals.reads_test) == (True, False)


def test_factors_may_be_missing_only_where_hospitals_are_left_out(tmp_path):
    assert load_study(write_study(tmp_path, HOSPITALS.split("[factors")[0])).factors == {}
    with pytest.raises(UsageError, match="at least one factor"):
        load_study(write_study(tmp_path, STUDY.split("[factors")[0]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds", "seed", "unknown key seed; did you mean seeds"),
        ('question = "Does a slower start matter?"\n', "", "missing question"),
        ('"one-at-a-time"', '"random"', "mode = 'random'. It must be 'one-at-a-time' or 'grid'"),
        ('"validation_auroc"', '"test_auroc"', "metric = 'test_auroc'.* It must be 'validation_auroc'"),
        ("[0, 1]", "[]", r"seeds = \[\]; it must be a list of one or more"),
        ("[0, 1]", "[1, 1]", "one or more different whole numbers"),
        ("[0, 1]", "[0, true]", "one or more different whole numbers"),
        ("epochs = 1", "epochs = 1\ntraining.epochs = 2", r"\[base_changes\] names epochs twice"),
        ("epochs = 1", "test = true", r"\[base_changes\] sets test; leave it out"),
        ("max_steps = 2", "max_steps = 0", "max_steps = 0; it must be a whole number of at least 1"),
        ('init = "scratch"', "init = 1", 'init = 1; it must be "imagenet", "scratch"'),
        ('init = "scratch"', 'init = "/no-such-weights"', "no such file or folder"),
        ("slow = { learning_rate = 1e-4 }", "slow = 1e-4", r"\[factors.learning-rate.slow\] must be a table"),
        ("slow = {", '"a b" = {', "'a b' cannot be the name of a level; use letters"),
        ("slow = {", "base = {", "'base' cannot be the name of a level"),
        ("[factors.learning-rate]\nslow = { learning_rate = 1e-4 }", "[factors]", "at least one factor"),
        ("seeds = [0, 1]", "seeds = [0, 1", "not valid TOML"),
        ("epochs = 1", 'leave_out = ["NIH"]', r"sets leave_out; write it above the tables, for all runs alike"),
        *(
            ("seeds = [0, 1]", f"seeds = [0, 1]\nleave_out = {wrong}", r"leave_out = .* it must be a list of lists of")
            for wrong in ('"NIH"', '["NIH"]', "3", "[]", "[[1]]", '[["NIH"], ["NIH"]]', '[["a b"], ["a", "b"]]')
        ),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(tmp_path, old, new, message):
    assert old in STUDY
    with pytest.raises(UsageError, match=message):
        load_study(write_study(tmp_path, STUDY.replace(old, new)))
