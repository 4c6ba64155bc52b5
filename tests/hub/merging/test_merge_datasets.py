"""What comes out of a merge, and that the rest of the project works with it."""

import csv
import json
import shutil

import pytest
from datasets import load_dataset

from hub.auditing.audit_dataset import audit_dataset
from hub.merging.merge_datasets import Options, merge
from hub.merging.merge_map import read_merge_map
from space.errors import UsageError
from tests.hub.converted import report_of, stored_rows
from tests.hub.merging.conftest import MAP, NORTH, SOUTH
from tests.hub.pushing import push
from train.data.dataset import load_data

# {image: why it is dropped}, as the copies and patients of the two sources demand.
DROPPED = {
    "South 2/train/Sick/of_test.png": "exact copy",
    "South 2/train/Sick/5.png": "patient",
    "South 2/val/Sick/1.png": "patient",
    "north/train/well/of_test.png": "exact copy",
    "north/val/well/1.png": "patient",
    "South 2/train/Healthy/repeated.png": "copy in another source",
    "north/train/ill/3.png": "conflicting label",
    "South 2/val/Healthy/conflict.png": "conflicting label",
}


def test_copies_and_patients_across_sources_are_dropped_and_the_rest_is_there(merged_folder):
    report = report_of(merged_folder)
    assert {entry["source"]: entry["dropped"] for entry in report["dropped"]} == DROPPED
    north, south = report["merge"]["sources"]
    assert north["dropped"] == {"conflicting label": 1, "exact copy": 1, "patient": 1}
    assert south["dropped"] == {"conflicting label": 1, "copy in another source": 1, "exact copy": 1, "patient": 2}
    names = {f"north/{name}" for name in NORTH} | {f"South 2/{name}" for name in SOUTH if "Other" not in name}
    assert set(stored_rows(merged_folder)) == names - set(DROPPED)


def test_splits_origins_and_hospitals_are_columns(merged_folder):
    for split, rows in load_dataset(str(merged_folder)).items():
        for source, origin, hospital in zip(rows["source"], rows["origin"], rows["hospital"], strict=True):
            assert source.startswith(f"{origin}/{ {'validation': 'val'}.get(split, split) }/")
            assert hospital == {"north": "Clinic", "South 2": "South 2"}[origin]


def test_conflicts_are_told_in_quarantine(merged_folder):
    rows = list(csv.DictReader((merged_folder / "quarantine.csv").open(encoding="utf-8")))
    assert [(row["path"], row["code"]) for row in rows] == [
        ("north/train/ill/3.png", "conflicting_label"), ("South 2/val/Healthy/conflict.png", "conflicting_label"),
    ]  # fmt: skip
    assert rows[0]["sentence"].endswith("a copy of it is well: South 2/val/Healthy/conflict.png.")


def test_training_opens_it_and_knows_what_its_audit_found(merged_folder):
    data = load_data(str(merged_folder))
    assert (data.labels, data.license) == (["well", "ill"], "other")
    assert data.title == "Chest X-rays of north and South 2"
    assert (data.audit.dropped, data.audit.names_kept) == (5, True)  # because test has them; others for other reasons


def test_an_audit_writes_the_card_anew_and_keeps_how_it_was_made(merged_folder, tmp_path):
    before = report_of(merged_folder)
    card = (merged_folder / "README.md").read_text()
    (merged_folder / "README.md").unlink()
    audit_dataset(str(merged_folder), [], None)
    after = report_of(merged_folder)
    for key in ("merge", "origins", "counts", "dropped", "shortcuts", "origin_shortcuts"):
        assert after[key] == before[key], key
    assert len((merged_folder / "README.md").read_text().splitlines()) == len(card.splitlines())


def test_it_is_pushed_with_its_list_and_not_in_public(hub, merged_folder, tmp_path):
    folder = shutil.copytree(merged_folder, tmp_path / "both")
    done = push("dataset", folder, "someone/both", "--public")
    assert (done.returncode, "original file names or patient keys" in done.stderr) == (2, True)
    report = report_of(folder)
    report["merge"]["names_kept"] = False
    (folder / "audit.json").write_text(json.dumps(report))
    done = push("dataset", folder, "someone/both", "--public")
    assert (done.returncode, "the licence of these images (other) does not" in done.stderr) == (2, True)
    assert not hub.requests
    done = push("dataset", folder, "someone/both")
    assert done.returncode == 0, done.stderr
    files = hub.files("datasets/someone/both")
    assert files["images.csv"] == (folder / "images.csv").read_bytes()
    assert "quarantine.csv" not in files
    assert {name: len(split) for name, split in load_dataset("someone/both").items()} == {
        name: sum(of.values()) for name, of in report["counts"].items()
    }


def test_a_repository_on_the_hub_is_a_source_too(hub, two_sources, merged_folder, tmp_path):
    folder = shutil.copytree(two_sources[1], tmp_path / "south")
    assert push("dataset", folder, "someone/south").returncode == 0
    (tmp_path / "map.toml").write_text(MAP.replace("[sources.south]", '[sources."someone/south"]'))
    names = [str(two_sources[0]), "someone/south"]
    map_ = read_merge_map(tmp_path / "map.toml", ["north", "someone/south"])
    report = merge(names, tmp_path / "out", map_, Options(audit=False))
    assert report["merge"]["sources"][1]["dataset"] == "someone/south"
    assert (tmp_path / "out" / "images.csv").read_bytes() == (merged_folder / "images.csv").read_bytes()


def test_the_same_again_is_the_same(two_sources, merge_map, merged_folder, tmp_path):
    map_ = read_merge_map(merge_map, ["north", "south"])
    merge([str(path) for path in two_sources], tmp_path / "out", map_, Options(audit=False))
    for path in [merged_folder / "images.csv", *merged_folder.glob("data/*")]:
        assert (tmp_path / "out" / path.relative_to(merged_folder)).read_bytes() == path.read_bytes()


def test_too_little_left_and_interrupted_work_leave_nothing(two_sources, tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(
        MAP.replace('Sick = "ill"', "Sick = false").replace('"Clinic"', '"Clinic"\nlabels = { ill = false }')
    )
    names = [str(folder) for folder in two_sources]
    with pytest.raises(UsageError, match="only these are left: well"):
        merge(names, tmp_path / "out", read_merge_map(path, ["north", "south"]))
    assert sorted(tmp_path.iterdir()) == [path]
