"""The audit: alone, in a conversion, against another dataset; and the card that is made from it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image, ImageEnhance

from hub.auditing.report import compare
from hub.convert import Options, convert
from hub.dataset.image_summary import AuditedImage, summarise_image
from hub.layouts.base import Record
from tests.conftest import REPOSITORY, run_python
from tests.hub_server import serving
from tests.phantoms import draw_phantom, write_images
from tests.space.imaging.test_dicom import dicom_bytes
from train.data.dataset import SPLITS


def report_of(folder: Path) -> dict:
    return json.loads((folder / "audit.json").read_text())


def sources(groups: list[list[dict]]) -> set[frozenset[str]]:
    return {frozenset(entry["source"] for entry in group) for group in groups}


@pytest.fixture(scope="module")
def leaky_source(tmp_path_factory) -> Path:
    """Two classes with 20 training and 8 test images each, and copies of every kind among them."""
    folder = tmp_path_factory.mktemp("leaky")
    write_images(folder, *(f"{s}/{c}/{i}.png" for s, n in (("train", 20), ("test", 8)) for c in "ab" for i in range(n)))
    shutil.copy(folder / "test/a/0.png", folder / "train/a/exact.png")
    enhanced = ImageEnhance.Contrast(Image.open(folder / "test/b/1.png")).enhance(1.5)
    enhanced.resize((300, 250)).save(folder / "train/b/near.jpg", quality=80)
    shutil.copy(folder / "train/a/3.png", folder / "train/b/conflict.png")
    (folder / "metadata.csv").write_text("file_name,patient\ntrain/a/5.png,Ann\ntest/a/5.png,Ann\ntrain/a/6.png,Ben\n")
    return folder


@pytest.fixture(scope="module")
def converted(leaky_source, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "leaky"
    convert(leaky_source, output, Options(keep_names=True))
    return output


def test_leaks_are_dropped_listed_and_said_on_the_card(converted):
    report = report_of(converted)
    assert report["conversion"]["leaks"] == {"exact copy": 1, "near copy": 1, "patient": 1}
    dropped = {"train/a/exact.png": "exact copy", "train/b/near.jpg": "near copy", "train/a/5.png": "patient"}
    assert {entry["source"]: entry["dropped"] for entry in report["dropped"]} == dropped
    dataset = load_dataset(str(converted))
    assert report["images"] == sum(dataset.num_rows.values()) == 40 + 16 + 3 - 3
    assert not set(dropped) & {source for split in dataset.values() for source in split["source"]}
    card = (converted / "README.md").read_text()
    assert "1 by exact copy, 1 by near copy, 1 by patient) were\ndropped" in card


def test_every_kind_of_copy_is_in_the_report(converted):
    report = report_of(converted)
    assert sources(report["exact_duplicates"]) == {
        frozenset({"test/a/0.png", "train/a/exact.png"}), frozenset({"train/a/3.png", "train/b/conflict.png"}),
    }  # fmt: skip
    assert sources(report["near_duplicates"]) == {frozenset({"test/b/1.png", "train/b/near.jpg"})}
    assert sources(report["label_conflicts"]) == {frozenset({"train/a/3.png", "train/b/conflict.png"})}
    entry = next(e for group in report["near_duplicates"] for e in group if e["source"] == "test/b/1.png")
    assert entry == {"split": "test", "label": "b", "source": "test/b/1.png"}
    assert sum(report["patients_across_splits"].values()) == 0


def test_kept_leaks_stay_and_the_card_warns(leaky_source, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, keep_leaks=True))
    dataset = load_dataset(str(tmp_path / "out"))
    kept = {source for split in dataset.values() for source in split["source"]}
    assert {"train/a/exact.png", "train/b/near.jpg", "train/a/5.png"} <= kept
    assert "scores on test are flattered" in (tmp_path / "out" / "README.md").read_text()
    report = report_of(tmp_path / "out")
    assert not report["dropped"]
    assert sum(report["patients_across_splits"].values()) == 1
    assert {entry["source"]: entry["leak"] for entry in report["kept_leaks"]} == {
        "train/a/exact.png": "exact copy", "train/b/near.jpg": "near copy", "train/a/5.png": "patient",
    }  # fmt: skip


def test_without_audit_the_splits_are_the_same_and_the_card_says_what_is_missing(leaky_source, converted, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, audit=False))
    with_audit, without = load_dataset(str(converted)), load_dataset(str(tmp_path / "out"))
    assert {s: list(d["source"]) for s, d in with_audit.items()} == {s: list(d["source"]) for s, d in without.items()}
    assert "shortcuts" not in report_of(tmp_path / "out")
    assert not (tmp_path / "out" / "figures").exists()
    assert "Shortcuts were not measured (`--no-audit`)" in (tmp_path / "out" / "README.md").read_text()


def test_single_images_stay_out_of_the_card_unless_asked(leaky_source, converted, tmp_path):
    figures = {path.relative_to(converted).as_posix() for path in converted.rglob("*.png")}
    assert figures == {
        "figures/class_balance.png", "figures/sizes.png", "figures/mean_images.png",
        "figures/local/samples.png", "figures/local/near_duplicates.png",
    }  # fmt: skip
    assert "local" not in (converted / "README.md").read_text()
    convert(leaky_source, tmp_path / "out", Options(with_samples=True))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "](figures/samples.png)" in card
    assert "](figures/near_duplicates.png)" in card


def test_mean_images_of_few_images_stay_out_as_well(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/{i}.png" for c in "ab" for i in range(12)))
    convert(tmp_path / "in", tmp_path / "out")
    figures = tmp_path / "out" / "figures"
    assert (figures / "local" / "mean_images.png").exists()
    assert not (figures / "mean_images.png").exists()


def test_the_audit_alone_finds_the_same_and_renders_the_card_anew(leaky_source, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, keep_leaks=True))
    before = report_of(tmp_path / "out")
    (tmp_path / "out" / "README.md").unlink()
    done = run_python("-m", "hub.audit", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    after = report_of(tmp_path / "out")
    for key in ("images", "counts", "patients", "patients_across_splits", "conversion", "shortcuts", "intensity"):
        assert after[key] == before[key], key
    for key in ("exact_duplicates", "near_duplicates", "label_conflicts"):
        assert sources(after[key]) == sources(before[key]), key
    assert "Audit" in (tmp_path / "out" / "README.md").read_text()


def test_against_another_dataset(converted, tmp_path):
    write_images(tmp_path / "other", *(f"test/{c}/{i}.png" for c in "AB" for i in range(5)), seed=9)
    rows = load_dataset(str(converted))["train"]
    for name, index in (("test/A/copy.png", 0), ("test/B/copy.png", 1), ("test/B/changed.png", 2)):
        image = rows[index]["image"].convert("L")
        image = image.point(lambda v: v * 0.7) if "changed" in name else image
        image.save(tmp_path / "other" / name)
    convert(tmp_path / "other", tmp_path / "external")
    done = run_python("-m", "hub.audit", tmp_path / "external", "--against", converted, "--output", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "report" / "audit.json").read_text())["against"][converted.name]
    assert (found["exact"], found["near"]) == (2, 1)
    assert f"also in {converted.name}: 2 as exact and 1 as near copies" in done.stdout
    labels = [rows.features["label"].names[rows[i]["label"]] for i in range(3)]
    assert found["conflicts"] == [a != b for a, b in zip(labels, "abb", strict=True)].count(True)
    assert found["splits"] == {"test": {"train": 3}}
    assert {pair["other"]["source"] for pair in found["pairs"]} == {rows[i]["source"] for i in range(3)}


def test_a_label_that_one_set_does_not_know_is_no_conflict():
    images = [draw_phantom(np.random.default_rng(seed), pneumonia=False) for seed in range(3)]

    def items(*labels: str) -> list[AuditedImage]:
        summaries = [summarise_image(dicom_bytes(np.asarray(image))) for image in images]
        return [
            AuditedImage(Record("", f"{i}", "test", label), summary)
            for i, (label, summary) in enumerate(zip(labels, summaries, strict=True))
        ]

    def conflicts(ours: list[str], theirs: list[str]) -> int:
        found = compare(items(*ours), items(*theirs), images.__getitem__, images.__getitem__)
        assert found["exact"] == 3
        return found["conflicts"]

    assert conflicts(["Viral Pneumonia", "Normal", "Normal"], ["PNEUMONIA", "NORMAL", "normal"]) == 0
    assert conflicts(["Viral Pneumonia", "Normal", "Normal"], ["PNEUMONIA", "NORMAL", "PNEUMONIA"]) == 1


def test_a_dataset_is_not_held_against_itself(converted):
    done = run_python("-m", "hub.audit", converted, "--against", converted)
    assert done.returncode == 2
    assert "itself" in done.stderr


def broken(folder: Path, how: str) -> Path:
    """A copy of a dataset folder, broken in some way."""
    if how == "cut parquet":
        path = next(folder.glob("data/*.parquet"))
        path.write_bytes(path.read_bytes()[:500])
    elif how == "odd audit.json":
        (folder / "audit.json").write_text("[]")
    else:
        table = pq.read_table(next(folder.glob("data/test*.parquet")))
        column = table.schema.get_field_index("image")
        empty = pa.array([None] * len(table), table.schema.field("image").type)
        pq.write_table(
            table.set_column(column, table.schema.field("image"), empty), next(folder.glob("data/test*.parquet"))
        )
    return folder


@pytest.mark.parametrize("how", ["cut parquet", "odd audit.json", "no images"])
def test_a_broken_dataset_is_one_clear_error(converted, tmp_path, how):
    shutil.copytree(converted, tmp_path / "broken")
    done = run_python("-m", "hub.audit", broken(tmp_path / "broken", how))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_a_dataset_as_the_hub_stores_it(converted, tmp_path):
    for path in converted.glob("data/*.parquet"):
        split = path.name.split("-")[0]
        (tmp_path / "data" / split).mkdir(parents=True)
        table = pq.read_table(path)
        labels = pa.array([-1 if split == "test" else value for value in table["label"].to_pylist()], pa.int64())
        column = table.schema.get_field_index("label")
        pq.write_table(
            table.set_column(column, table.schema.field("label"), labels), tmp_path / "data" / split / "0000.parquet"
        )
    assert run_python("-m", "hub.audit", tmp_path, "--workers", "0").returncode == 2
    assert run_python("-m", "hub.audit", tmp_path).returncode == 0
    report = report_of(tmp_path)
    assert list(report["counts"]) == list(SPLITS)
    assert report["counts"]["test"] == {"a": 0, "b": 0, "unlabelled": 16}
    assert not (tmp_path / "README.md").exists()


def test_a_dataset_on_the_hub_is_audited_without_touching_it(converted, tmp_path):
    files = {
        f"datasets/owner/set/{path.relative_to(converted).as_posix()}": path.read_bytes()
        for path in converted.rglob("*")
        if path.is_file()
    }
    with serving(files) as endpoint:
        online = {
            "HF_ENDPOINT": endpoint,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(tmp_path / "hf"),
        }
        asked = run_python("-m", "hub.audit", "owner/set", cwd=REPOSITORY, **online)
        assert asked.returncode == 2
        assert "--output" in asked.stderr
        done = run_python("-m", "hub.audit", "owner/set", "--output", tmp_path / "report", **online)
        missing = run_python("-m", "hub.audit", "owner/none", "--output", tmp_path / "report", **online)
    assert done.returncode == 0, done.stderr
    assert report_of(tmp_path / "report")["counts"] == report_of(converted)["counts"]
    assert missing.returncode == 2
    assert "cannot be downloaded" in missing.stderr


@pytest.mark.parametrize(("dataset", "says"), [("nowhere/at/all", "nowhere/at/all"), (".", "holds no parquet")])
def test_what_is_no_dataset_is_a_clear_error(dataset, says, tmp_path):
    done = run_python("-m", "hub.audit", dataset if dataset != "." else tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_records_of_a_report_are_those_of_the_contract(converted):
    report = report_of(converted)
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
