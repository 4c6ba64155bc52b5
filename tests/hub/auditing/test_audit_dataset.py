"""A stored dataset audited anew: alone, and against others."""

import shutil

import pytest
from datasets import load_dataset

from hub.auditing.audit_dataset import audit_dataset
from hub.conversion import Options, convert
from space.errors import UsageError
from tests.hub.converted import report_of, sources
from tests.phantoms import write_images


def test_the_audit_alone_finds_the_same_and_renders_the_card_anew(leaky_source, tmp_path):
    folder = tmp_path / "out"
    convert(leaky_source, folder, Options(keep_names=True, keep_leaks=True))
    before = report_of(folder)
    (folder / "README.md").unlink()
    audit_dataset(str(folder), [], tmp_path / "out" / ".." / "out")  # its own folder, in other words
    after = report_of(folder)
    for key in ("images", "counts", "patients", "patients_across_splits", "conversion", "shortcuts", "intensity"):
        assert after[key] == before[key], key
    for key in ("exact_duplicates", "near_duplicates", "label_conflicts"):
        assert sources(after[key]) == sources(before[key]), key
    assert "What did the audit find?" in (folder / "README.md").read_text()


def test_against_another_dataset(leaky_dataset, tmp_path, capsys):
    write_images(tmp_path / "other", *(f"test/{c}/{i}.png" for c in "AB" for i in range(5)), seed=9)
    rows = load_dataset(str(leaky_dataset))["train"]
    for name, index in (("test/A/copy.png", 0), ("test/B/copy.png", 1), ("test/B/changed.png", 2)):
        image = rows[index]["image"].convert("L")
        image = image.point(lambda v: v * 0.7) if "changed" in name else image
        image.save(tmp_path / "other" / name)
    convert(tmp_path / "other", tmp_path / "external")
    audit_dataset(str(tmp_path / "external"), [str(leaky_dataset)], tmp_path / "report")
    shared = report_of(tmp_path / "report")["against"][leaky_dataset.name]
    assert (shared["exact"], shared["near"]) == (2, 1)
    assert f"also in {leaky_dataset.name}: 2 as exact and 1 as near copies" in capsys.readouterr().out
    labels = [rows.features["label"].names[rows[i]["label"]] for i in range(3)]
    assert shared["conflicts"] == [a != b for a, b in zip(labels, "abb", strict=True)].count(True)
    assert shared["splits"] == {"test": {"train": 3}}
    assert {pair["other"]["source"] for pair in shared["pairs"]} == {rows[i]["source"] for i in range(3)}
    assert report_of(tmp_path / "external")["against"] == {}  # what goes to a folder of its own changes nothing here


def test_other_datasets_of_one_name_are_told_apart(leaky_dataset, tmp_path):
    others = [shutil.copytree(leaky_dataset, tmp_path / parent / "xrays") for parent in ("first", "second")]
    audit_dataset(str(leaky_dataset), [str(other) for other in others], tmp_path / "report")
    against = report_of(tmp_path / "report")["against"]
    images = report_of(leaky_dataset)["images"]
    assert {name: shared["exact"] for name, shared in against.items()} == {
        "first/xrays": images,
        "second/xrays": images,
    }


def test_a_dataset_is_not_held_against_itself(leaky_dataset):
    with pytest.raises(UsageError, match=r"--against names .* itself"):
        audit_dataset(str(leaky_dataset), [f"{leaky_dataset}/"], None)
