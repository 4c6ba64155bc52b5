"""The command `hub.audit`: alone, and against another dataset."""

import json

from datasets import load_dataset

from hub.audit import main
from hub.conversion import Options, convert
from tests.commands import call
from tests.hub.converted import report_of, sources
from tests.phantoms import write_images


def test_the_audit_alone_finds_the_same_and_renders_the_card_anew(leaky_source, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, keep_leaks=True))
    before = report_of(tmp_path / "out")
    (tmp_path / "out" / "README.md").unlink()
    done = call(main, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    after = report_of(tmp_path / "out")
    for key in ("images", "counts", "patients", "patients_across_splits", "conversion", "shortcuts", "intensity"):
        assert after[key] == before[key], key
    for key in ("exact_duplicates", "near_duplicates", "label_conflicts"):
        assert sources(after[key]) == sources(before[key]), key
    assert "What did the audit find?" in (tmp_path / "out" / "README.md").read_text()


def test_against_another_dataset(leaky_dataset, tmp_path):
    write_images(tmp_path / "other", *(f"test/{c}/{i}.png" for c in "AB" for i in range(5)), seed=9)
    rows = load_dataset(str(leaky_dataset))["train"]
    for name, index in (("test/A/copy.png", 0), ("test/B/copy.png", 1), ("test/B/changed.png", 2)):
        image = rows[index]["image"].convert("L")
        image = image.point(lambda v: v * 0.7) if "changed" in name else image
        image.save(tmp_path / "other" / name)
    convert(tmp_path / "other", tmp_path / "external")
    done = call(main, tmp_path / "external", "--against", leaky_dataset, "--output", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "report" / "audit.json").read_text())["against"][leaky_dataset.name]
    assert (found["exact"], found["near"]) == (2, 1)
    assert f"also in {leaky_dataset.name}: 2 as exact and 1 as near copies" in done.stdout
    labels = [rows.features["label"].names[rows[i]["label"]] for i in range(3)]
    assert found["conflicts"] == [a != b for a, b in zip(labels, "abb", strict=True)].count(True)
    assert found["splits"] == {"test": {"train": 3}}
    assert {pair["other"]["source"] for pair in found["pairs"]} == {rows[i]["source"] for i in range(3)}


def test_a_dataset_is_not_held_against_itself(leaky_dataset):
    done = call(main, leaky_dataset, "--against", leaky_dataset)
    assert done.returncode == 2
    assert "itself" in done.stderr
