"""The command that cross-validates a recipe, on phantoms."""

import json
import sys

import pytest

from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from train.study import folds
from train.study.cross_validation import main


def run(monkeypatch, *options) -> None:
    monkeypatch.setattr(sys, "argv", ["cross_validation", *map(str, options)])
    main()


def test_a_recipe_is_cross_validated_without_the_test_split(dataset_folder, tmp_path, monkeypatch, capsys):
    load, opened = folds.load_pixels, []
    monkeypatch.setattr(folds, "load_pixels", lambda data, *rest: opened.append(data.splits) or load(data, *rest))
    output = tmp_path / "cross.json"
    options = ["--recipe", TINY_RECIPE, "--dataset", dataset_folder, "--output", output, "--init", "scratch"]
    options += ["--folds", 2, "--repeats", 2, "--set", "epochs=1", "--set", "selection=robust-auroc"]
    run(monkeypatch, *options)
    results = json.loads(output.read_text())
    assert {name: len(rows) for name, rows in opened[0].items()} == {"validation": results["images"]}
    assert not any("/test/" in source for source in opened[0]["validation"]["source"])
    assert set(results["metrics"]) == set(folds.METRICS)
    for metric in results["metrics"].values():
        assert 0 <= metric["low"] <= metric["value"] <= metric["high"] <= 1
        assert len(metric["repeats"]) == 2
    assert results["command"].startswith("python -m train.study.cross_validation --recipe tiny.toml")
    assert str(tmp_path) not in output.read_text()
    printed = capsys.readouterr().out
    assert "repeat 2 of 2, fold 2 of 2" in printed
    assert f"accuracy           {results['metrics']['accuracy']['value']:.3f} (" in printed
    with pytest.raises(UsageError, match="exists already"):
        run(monkeypatch, *options)


def test_one_fold_is_refused_before_anything_starts(dataset_folder, tmp_path, monkeypatch):
    options = ["--recipe", TINY_RECIPE, "--dataset", dataset_folder, "--output", tmp_path / "x.json", "--folds", 1]
    with pytest.raises(UsageError, match="--folds 1; give 2 or more"):
        run(monkeypatch, *options)
