"""What audit.json holds: copies, patients in two splits, what two datasets share."""

import numpy as np
from datasets import load_dataset

from hub.auditing.report import compare
from hub.conversion import Options, convert
from hub.dataset.image_summary import AuditedImage, summarise_image
from hub.layouts.base import Record
from tests.hub.converted import report_of, sources
from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes
from train.data.dataset import SPLITS


def test_leaks_are_dropped_listed_and_said_on_the_card(leaky_dataset):
    report = report_of(leaky_dataset)
    assert report["conversion"]["leaks"] == {"exact copy": 1, "near copy": 1, "patient": 1}
    dropped = {"train/a/exact.png": "exact copy", "train/b/near.jpg": "near copy", "train/a/5.png": "patient"}
    assert {entry["source"]: entry["dropped"] for entry in report["dropped"]} == dropped
    dataset = load_dataset(str(leaky_dataset))
    assert report["images"] == sum(dataset.num_rows.values()) == 40 + 16 + 3 - 3
    assert not set(dropped) & {source for split in dataset.values() for source in split["source"]}
    card = (leaky_dataset / "README.md").read_text()
    assert "1 (by exact copy), 1 (by near copy), 1 (by patient). They were\n  dropped" in card


def test_every_kind_of_copy_is_in_the_report(leaky_dataset):
    report = report_of(leaky_dataset)
    assert sources(report["exact_duplicates"]) == {
        frozenset({"test/a/0.png", "train/a/exact.png"}), frozenset({"train/a/3.png", "train/b/conflict.png"}),
    }  # fmt: skip
    assert sources(report["near_duplicates"]) == {frozenset({"test/b/1.png", "train/b/near.jpg"})}
    assert sources(report["label_conflicts"]) == {frozenset({"train/a/3.png", "train/b/conflict.png"})}
    entry = next(e for group in report["near_duplicates"] for e in group if e["source"] == "test/b/1.png")
    assert entry == {"split": "test", "label": "b", "source": "test/b/1.png"}
    assert sum(report["patients_across_splits"].values()) == 0


def test_kept_leaks_stay_and_the_card_warns(leaky_source, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, keep_leaks=True, audit=False))
    dataset = load_dataset(str(tmp_path / "out"))
    kept = {source for split in dataset.values() for source in split["source"]}
    assert {"train/a/exact.png", "train/b/near.jpg", "train/a/5.png"} <= kept
    assert (
        "Scores on test are flattered: 3 images of the other splits are in test too"
        in (tmp_path / "out" / "README.md").read_text()
    )
    report = report_of(tmp_path / "out")
    assert not report["dropped"]
    assert sum(report["patients_across_splits"].values()) == 1
    assert {entry["source"]: entry["leak"] for entry in report["kept_leaks"]} == {
        "train/a/exact.png": "exact copy", "train/b/near.jpg": "near copy", "train/a/5.png": "patient",
    }  # fmt: skip


def test_a_label_that_one_set_does_not_know_is_no_conflict():
    images = [draw_phantom(np.random.default_rng(seed), pneumonia=False) for seed in range(3)]

    def items(*labels: str) -> list[AuditedImage]:
        summaries = [summarise_image(dicom_bytes(np.asarray(image))) for image in images]
        return [
            AuditedImage(Record("", f"{i}", "test", label), summary)
            for i, (label, summary) in enumerate(zip(labels, summaries, strict=True))
        ]

    def conflicts(ours: list[str], theirs: list[str]) -> int:
        shared = compare(items(*ours), items(*theirs), images.__getitem__, images.__getitem__)
        assert shared["exact"] == 3
        return shared["conflicts"]

    assert conflicts(["Viral Pneumonia", "Normal", "Normal"], ["PNEUMONIA", "NORMAL", "normal"]) == 0
    assert conflicts(["Viral Pneumonia", "Normal", "Normal"], ["PNEUMONIA", "NORMAL", "PNEUMONIA"]) == 1


def test_the_records_of_a_report_are_those_of_the_contract(leaky_dataset):
    report = report_of(leaky_dataset)
    assert list(report["counts"]) == list(SPLITS)
    assert {
        "exact_duplicates",
        "near_duplicates",
        "label_conflicts",
        "patients_across_splits",
        "against",
        "shortcuts",
    } <= set(report)
    assert set(report["patients_across_splits"]) == {"train/validation", "train/test", "validation/test"}
