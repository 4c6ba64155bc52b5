"""What the options of a conversion do, and what it makes of files that are odd, private or broken."""

import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Image as ImageFeature
from datasets import load_dataset
from PIL import Image

from hub.convert import Options, convert
from hub.dataset import parquet_writer as writer
from hub.dataset.splits import Fractions
from space.errors import ChestXrayError, UsageError
from tests.conftest import run_python
from tests.phantoms import draw_phantom, write_images
from tests.space.imaging.test_dicom import dicom_bytes
from train.data.dataset import load_data

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


def stored_rows(folder: Path) -> dict[str, dict]:
    """{source: row} of all splits, images as bytes."""
    rows = {}
    for split in load_dataset(str(folder)).values():
        for name, kind in split.features.items():
            if isinstance(kind, ImageFeature):
                split = split.cast_column(name, ImageFeature(decode=False))
        rows |= {row["source"]: row for row in split}
    return rows


def test_a_private_folder_shows_no_name_anywhere(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/Miller-{i}.png" for c in ("ill", "well") for i in range(12)))
    lines = "\n".join(f"{c}/Miller-{i}.png,Miller {i // 2}" for c in ("ill", "well") for i in range(12))
    (tmp_path / "in" / "metadata.csv").write_text(f"file_name,patient\n{lines}\n")
    convert(tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert b"Miller" not in (path.read_bytes() if path.is_file() else b""), path
    rows = stored_rows(tmp_path / "out")
    assert set(rows) == {f"{i:06d}" for i in range(1, 25)}
    assert {row["patient"] for row in rows.values()} == {f"{i:06d}" for i in range(1, 7)}
    convert(tmp_path / "in", tmp_path / "named", Options(keep_names=True))
    assert set(stored_rows(tmp_path / "named")) == {f"{c}/Miller-{i}.png" for c in ("ill", "well") for i in range(12)}


def test_dicom_files_become_clean_gray_png(tmp_path):
    random = np.random.default_rng(0)
    for i, name in enumerate(CLASSES):
        path = tmp_path / "in" / name.replace(".png", ".dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(draw_phantom(random, pneumonia=False)).astype(np.uint16) * 16
        path.write_bytes(dicom_bytes(values, ViewPosition=("PA", "AP")[i % 2]))
    convert(tmp_path / "in", tmp_path / "out")
    rows = stored_rows(tmp_path / "out").values()
    assert {row["view"] for row in rows} == {"PA", "AP"}
    for row in rows:
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (image.format, image.mode) == ("PNG", "L")
        assert b"SECRET" not in row["image"]["bytes"]
    assert not any(b"SECRET" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_masks_of_a_layout_and_masks_from_a_folder(tmp_path, kaggle_folder):
    images = sorted((kaggle_folder / "chest_xray").rglob("*.jpeg"))[:30]
    for path in images:
        mask = tmp_path / "masks" / path.relative_to(kaggle_folder / "chest_xray").with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((140, 160), 127 if path == images[0] else 255, np.uint8)).save(mask)
    (tmp_path / "masks" / images[1].relative_to(kaggle_folder / "chest_xray").with_suffix(".png")).write_text("no mask")
    report = convert(kaggle_folder, tmp_path / "out", Options(masks=tmp_path / "masks"))
    assert report["conversion"]["masks"] == {"lung_mask": 30}
    assert report["conversion"]["bad_masks"] == 1
    rows = stored_rows(tmp_path / "out")
    masked = {source for source, row in rows.items() if row["lung_mask"]}
    expected = {path.relative_to(kaggle_folder / "chest_xray").as_posix() for path in images if path != images[1]}
    assert masked == expected
    first = rows[images[0].relative_to(kaggle_folder / "chest_xray").as_posix()]["lung_mask"]["bytes"]
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(first))))) == {127}
    with pytest.raises(UsageError, match="holds no mask"):
        convert(kaggle_folder, tmp_path / "other", Options(masks=tmp_path))


def test_labels_are_renamed_merged_and_dropped(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/{i}.png" for c in ("flu", "tb", "well", "odd") for i in range(12)))
    (tmp_path / "map.toml").write_text('flu = "ill"\ntb = "ill"\nodd = false\n')
    done = run_python(
        "-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out", "--labels", tmp_path / "map.toml"
    )
    assert done.returncode == 0, done.stderr
    data = load_data(str(tmp_path / "out"))
    assert data.labels == ["ill", "well"]
    counts = [sum(list(split["label"]).count(k) for split in data.splits.values()) for k in (0, 1)]
    assert counts == [24, 12]
    assert "odd → dropped" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('cat = "dog"', "cat"),
        ("ill = 3", "ill = 3"),
        ("ill = ", "TOML"),
        ("ill = false", "two classes"),
        (None, "read"),
    ],
)
def test_a_label_map_that_does_not_fit_is_a_usage_error(tmp_path, text, says):
    write_images(tmp_path / "in", *CLASSES)
    if text is not None:
        (tmp_path / "map.toml").write_text(text)
    done = run_python(
        "-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out", "--labels", tmp_path / "map.toml"
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_size_limits_the_longest_side(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    convert(tmp_path / "in", tmp_path / "out", Options(size=80))
    sizes = {Image.open(io.BytesIO(row["image"]["bytes"])).size for row in stored_rows(tmp_path / "out").values()}
    assert sizes == {(80, 70)}


def test_bad_files_are_quarantined_with_their_reasons(tmp_path):
    write_images(tmp_path / "in", *CLASSES, *(f"well/more-{i}.png" for i in range(60)))
    whole = (tmp_path / "in" / "ill" / "0.png").read_bytes()
    bad = {"empty.png": b"", "text.jpg": b"hello", "cut.png": whole[: len(whole) // 2], "x.dcm": b"no dicom"}
    for name, data in bad.items():
        (tmp_path / "in" / "well" / name).write_bytes(data)
    report = convert(tmp_path / "in", tmp_path / "out")
    assert report["images"] == 84
    assert report["conversion"]["quarantined"] == {"damaged": 1, "empty": 1, "unknown_format": 2}
    with (tmp_path / "out" / "quarantine.csv").open() as file:
        rows = {row["path"]: row["code"] for row in csv.DictReader(file)}
    assert rows == {
        "well/empty.png": "empty", "well/text.jpg": "unknown_format", "well/cut.png": "damaged",
        "well/x.dcm": "unknown_format",
    }  # fmt: skip


def test_too_many_bad_files_stop_unless_allowed(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    for i in range(3):
        (tmp_path / "in" / "ill" / f"bad-{i}.png").write_text("bad")
    with pytest.raises(ChestXrayError, match=r"3 of 27 images .* --allow-bad"):
        convert(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert convert(tmp_path / "in", tmp_path / "out", Options(allow_bad=True))["images"] == 24


def test_a_zip_with_junk_converts_like_its_folder(kaggle_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((kaggle_folder / "chest_xray").rglob("*.jpeg")):
            name = path.relative_to(kaggle_folder)
            archive.write(path, name)
            archive.write(path, f"chest_xray/{name}")
            archive.writestr(f"__MACOSX/{name.parent}/._{name.name}", b"junk")
        archive.writestr("chest_xray/train/NORMAL/.DS_Store", b"junk")
    report = convert(tmp_path / "x.zip", tmp_path / "from-zip")
    assert report["images"] == 200
    assert report["conversion"]["outside_layout"] == 200
    convert(kaggle_folder, tmp_path / "from-folder")
    assert stored_rows(tmp_path / "from-zip") == stored_rows(tmp_path / "from-folder")


def test_shards_stay_below_their_limit(tmp_path, monkeypatch):
    write_images(tmp_path / "in", *CLASSES, *(f"well/more-{i}.png" for i in range(60)))
    monkeypatch.setattr(writer, "FULL", 200_000)
    monkeypatch.setattr(writer, "BATCH_BYTES", 60_000)
    report = convert(tmp_path / "in", tmp_path / "out")
    shards = sorted((tmp_path / "out" / "data").glob("train-*.parquet"))
    assert len(shards) > 3
    assert [shard.name for shard in shards] == [
        f"train-{i:05d}-of-{len(shards):05d}.parquet" for i in range(len(shards))
    ]
    assert max(shard.stat().st_size for shard in shards) < 300_000
    assert sum(pq.ParquetFile(shard).metadata.num_rows for shard in shards) == sum(report["counts"]["train"].values())
    assert sum(load_dataset(str(tmp_path / "out")).num_rows.values()) == 84


def test_a_dataset_with_only_a_test_split_is_refused_for_training(tmp_path):
    write_images(tmp_path / "in", *(f"test/{path}" for path in CLASSES))
    report = convert(tmp_path / "in", tmp_path / "out")
    assert list(report["counts"]) == ["test"]
    assert "for evaluation only" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(UsageError, match="no train and no validation split"):
        load_data(str(tmp_path / "out"))


def test_fractions_and_seed_decide_the_cut(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/{i}.png" for c in ("ill", "well") for i in range(40)))
    counts = convert(tmp_path / "in", tmp_path / "a", Options(fractions=Fractions(0.2, 0.25, 1)))["counts"]
    assert {split: sum(of.values()) for split, of in counts.items()} == {"train": 44, "validation": 16, "test": 20}


@pytest.mark.parametrize("module", ["hub.convert", "hub.audit"])
def test_help_is_printed(module):
    done = run_python("-m", module, "--help")
    assert done.returncode == 0
    assert "--workers" in done.stdout


@pytest.mark.parametrize(
    ("option", "value"), [("--val-fraction", "0"), ("--test-fraction", "0.9"), ("--size", "3"), ("--workers", "0")]
)
def test_options_out_of_range_are_usage_errors(kaggle_folder, tmp_path, option, value):
    done = run_python("-m", "hub.convert", kaggle_folder, "--output", tmp_path / "out", option, value)
    assert done.returncode == 2
    assert option in done.stderr


def test_dicom_files_in_any_layout_lose_their_names(tmp_path):
    random = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 3)):
        for label in ("NORMAL", "PNEUMONIA"):
            for i in range(n):
                path = tmp_path / "in" / split / label / f"Doe_John_{label}{i}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dicom_bytes(np.asarray(draw_phantom(random, pneumonia=False))))
    report = convert(tmp_path / "in", tmp_path / "out")
    assert report["conversion"]["layout"] == "chest-xray-pneumonia"
    assert not any(b"Doe" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_a_folder_that_only_looks_like_a_known_set_gets_a_warning(tmp_path, capsys):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "test") for c in ("NORMAL", "PNEUMONIA") for i in range(12)]
    write_images(tmp_path / "in", *names)
    convert(tmp_path / "in", tmp_path / "out")
    assert "48 of 48 file names do not follow the rules of chest-xray-pneumonia" in capsys.readouterr().out


def test_odd_names_of_classes_and_files_are_no_trouble(tmp_path):
    names = [f"{c}/{i}.png" for c in ("$\\foo{$", "_under", "é ü & <b>") for i in range(12)]
    write_images(tmp_path / "in", *names)
    folder = os.fsencode(tmp_path / "in" / "_under")
    os.rename(folder + b"/0.png", folder + b"/p\xff3.png")
    convert(tmp_path / "in", tmp_path / "out", Options(keep_names=True))
    assert set(load_data(str(tmp_path / "out")).labels) == {"$\\foo{$", "_under", "é ü & <b>"}


def test_a_class_without_readable_images_is_not_in_the_dataset(tmp_path, capsys):
    write_images(tmp_path / "in", *CLASSES, "gone/0.png")
    (tmp_path / "in" / "gone" / "0.png").write_bytes(b"")
    report = convert(tmp_path / "in", tmp_path / "out")
    assert list(report["conversion"]["labels"]) == ["ill", "well"]
    assert "class gone has no readable image" in capsys.readouterr().out
    for path in (tmp_path / "in" / "ill").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ChestXrayError, match="only class well"):
        convert(tmp_path / "in", tmp_path / "other", Options(allow_bad=True))
