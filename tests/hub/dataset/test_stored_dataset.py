"""Dataset folders and repositories, read for an audit."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

from hub.audit import main
from hub.dataset.stored_dataset import StoredDataset
from space.errors import ChestXrayError, UsageError
from tests.commands import call
from tests.conftest import REPOSITORY
from tests.hub.converted import report_of
from tests.hub.pushing import push
from tests.hub_state import COMMIT, Repository
from train.data.dataset import SPLITS, load_data


def broken(folder: Path, how: str) -> Path:
    """A copy of a dataset folder, broken in some way."""
    if how == "cut parquet":
        path = next(folder.glob("data/*.parquet"))
        path.write_bytes(path.read_bytes()[:500])
    elif how == "damaged page":
        path = next(folder.glob("data/train*.parquet"))
        path.write_bytes(b"PAR1" + bytes(40) + path.read_bytes()[44:])
    elif how == "odd schema":
        for path in folder.glob("data/*.parquet"):
            pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": b'{"info": null}'}), path)
    elif how == "images are texts":
        features = Features(image=Value("string"), label=ClassLabel(names=["a", "b"]))
        table = Dataset.from_dict({"image": ["x"], "label": [0]}, features=features).with_format("arrow")[:]
        for path in folder.glob("data/*.parquet"):
            pq.write_table(table, path)
    elif how == "one file without labels":
        path = next(folder.glob("data/train*.parquet"))
        pq.write_table(pq.read_table(path).drop_columns(["label"]), path)
    else:
        table = pq.read_table(next(folder.glob("data/test*.parquet")))
        column = table.schema.get_field_index("image")
        empty = pa.array([None] * len(table), table.schema.field("image").type)
        pq.write_table(
            table.set_column(column, table.schema.field("image"), empty), next(folder.glob("data/test*.parquet"))
        )
    return folder


@pytest.mark.parametrize(
    "how",
    ["cut parquet", "damaged page", "odd schema", "images are texts", "one file without labels", "no images"],
)
def test_a_broken_dataset_is_one_clear_error(leaky_dataset, tmp_path, how):
    shutil.copytree(leaky_dataset, tmp_path / "broken")
    done = call(main, broken(tmp_path / "broken", how))
    assert done.returncode in (1, 2)
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_numbered_patients_and_files_are_read_as_texts(leaky_dataset, tmp_path):
    dataset = load_dataset(str(leaky_dataset))["test"].select(range(4))
    for column, values in (("patient", [0, 1, None, 1]), ("source", [0, 7, None, 9])):
        dataset = dataset.remove_columns(column).add_column(column, values)
    (tmp_path / "data").mkdir()
    dataset.to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    records = [image.record for image in StoredDataset(str(tmp_path)).images(1)]
    assert [record.patient for record in records] == ["0", "1", None, "1"]
    assert [record.source for record in records] == ["0", "7", "test/2", "9"]


def test_a_dataset_as_the_hub_stores_it(leaky_dataset, tmp_path):
    for path in leaky_dataset.glob("data/*.parquet"):
        split = path.name.split("-")[0]
        (tmp_path / "data" / split).mkdir(parents=True)
        table = pq.read_table(path)
        labels = pa.array([-1 if split == "test" else value for value in table["label"].to_pylist()], pa.int64())
        column = table.schema.get_field_index("label")
        pq.write_table(
            table.set_column(column, table.schema.field("label"), labels), tmp_path / "data" / split / "0000.parquet"
        )
    assert call(main, tmp_path, "--workers", "0").returncode == 2
    assert call(main, tmp_path).returncode == 0
    report = report_of(tmp_path)
    assert list(report["counts"]) == list(SPLITS)
    assert report["counts"]["test"] == {"a": 0, "b": 0, "unlabelled": 16}
    assert not (tmp_path / "README.md").exists()


def test_a_dataset_on_the_hub_is_audited_without_touching_it(hub, leaky_dataset, tmp_path):
    files = {
        path.relative_to(leaky_dataset).as_posix(): path.read_bytes()
        for path in leaky_dataset.rglob("*")
        if path.is_file()
    }
    hub.repositories["datasets/owner/set"] = Repository(commits={COMMIT: files})
    asked = call(main, "owner/set")
    assert asked.returncode == 2
    assert "--output" in asked.stderr
    done = call(main, "owner/set", "--output", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert report_of(tmp_path / "report")["counts"] == report_of(leaky_dataset)["counts"]
    missing = call(main, "owner/none", "--output", tmp_path / "report")
    assert missing.returncode == 2
    assert "cannot be downloaded" in missing.stderr


@pytest.mark.parametrize(("dataset", "says"), [("nowhere/at/all", "nowhere/at/all"), (".", "contains no parquet")])
def test_what_is_no_dataset_is_a_clear_error(dataset, says, tmp_path):
    done = call(main, dataset if dataset != "." else tmp_path)
    assert done.returncode == 2
    assert says in done.stderr


def test_an_unreachable_hub_is_a_failure_and_a_file_no_dataset(tmp_path):
    with pytest.raises(ChestXrayError, match=r"^the Hub cannot be reached for owner/none: ") as caught:
        StoredDataset("owner/none")
    assert caught.value.exit_code == 1
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file is neither a folder nor a repository name \(OWNER/NAME\)\. Give"):
        StoredDataset(str(tmp_path / "file"))


def test_a_dataset_of_an_earlier_version_opens_is_audited_and_pushed(hub, phantoms):
    """Images and tables stay as they are; audit.json and card are those that commit 5c919f0 wrote for the phantoms."""
    for path in (REPOSITORY / "tests" / "hub" / "phantoms_of_5c919f0").iterdir():
        shutil.copy(path, phantoms)
    before = report_of(phantoms)
    assert load_data(str(phantoms)).audit.warnings == before["warnings"]
    done = push("dataset", phantoms, "someone/earlier", "--public")
    assert done.returncode == 0, done.stderr
    done = call(main, phantoms)
    assert done.returncode == 0, done.stderr
    after = report_of(phantoms)
    for key in ("images", "counts", "patients", "patients_across_splits", "exact_duplicates"):
        assert after[key] == before[key], key
    since = {"boxes": 0, "not_frontal": 0, "not_images": 0}
    assert after["conversion"] == before["conversion"] | since
    assert "images" in (phantoms / "README.md").read_text()  # the card is written anew: they were called pictures
    assert push("dataset", phantoms, "someone/earlier", "--public").returncode == 0


def test_rows_come_whole_and_in_the_order_asked_for(leaky_dataset):
    dataset = StoredDataset(str(leaky_dataset))
    everything = [row for split in sorted(SPLITS) for row in load_dataset(str(leaky_dataset))[split]]
    for row, index in zip(dataset.rows([0, 1, 30, 2]), [0, 1, 30, 2], strict=True):
        assert set(row) == set(everything[index])
        assert {name: row[name] for name in ("source", "label", "patient")} == {
            name: everything[index][name] for name in ("source", "label", "patient")
        }
        assert row["image"]["bytes"]
