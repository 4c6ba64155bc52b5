"""COVID-QU-Ex: two trees that overlap."""

import shutil
from collections import Counter

import pytest

from hub.layouts.registry import LAYOUTS
from tests.hub.layouts.trees import by_class, qu_ex, read


def test_covid_qu_ex_joins_both_trees_by_stem(tmp_path):
    name, records = read(qu_ex(tmp_path))
    assert name == "covid-qu-ex"
    assert by_class(records) == {
        (split, label): 2 for split in ("train", "validation", "test") for label in LAYOUTS[name].labels
    }
    masks = Counter(tuple(sorted(record.masks)) for record in records)
    assert masks == {("infection_mask", "lung_mask"): 9, (): 9}
    assert all(record.name.startswith("Lung") for record in records)


@pytest.mark.parametrize("gone", ["Lung Segmentation Data", "Infection Segmentation Data"])
def test_covid_qu_ex_with_one_tree_alone(tmp_path, gone):
    shutil.rmtree(qu_ex(tmp_path) / gone)
    name, records = read(tmp_path)
    assert name == "covid-qu-ex"
    assert len(records) == (9 if gone.startswith("Lung") else 18)
