"""Predictions of whole folders, zips and datasets; the files that people really have are among them."""

import csv
import itertools
import os
import re
import shutil
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from space.errors import ChestXrayError, UsageError, run_cli
from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from space.inference.operating_point import decide
from tests.conftest import DEFAULT_MODEL, run_python
from tests.phantoms import draw_phantom, write_images
from tests.space.imaging.test_dicom import dicom_bytes
from train.data.find_images import SourceImage
from train.predict import main, predict, predict_to_csv

GOOD = ["NORMAL/1.png", "NORMAL/2.jpeg", "PNEUMONIA/1.JPG", "other/deep/3.png"]
BAD = {"NORMAL/text.png": b"just text", "empty.jpg": b"", "other/cut.jpeg": None}


@pytest.fixture
def classifier(bundled) -> Classifier:
    return bundled


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Images in class folders and elsewhere, DICOM among them, some damaged, and files that are no images."""
    root = write_images(tmp_path_factory.mktemp("images"), *GOOD)
    (root / "other" / "4.dcm").write_bytes(dicom_bytes(np.asarray(draw_phantom(np.random.default_rng(1), True))))
    cut = (root / "NORMAL" / "2.jpeg").read_bytes()[:900]
    for name, content in BAD.items():
        (root / name).write_bytes(cut if content is None else content)
    for name in ("notes.txt", ".hidden.png", "__MACOSX/1.png", ".git/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no image")
    return root


@pytest.fixture
def rows_of(classifier, tmp_path):
    """Predict a source and read the file that was written."""
    numbers = itertools.count()

    def run(source: str | Path, model: Classifier = classifier) -> list[dict[str, str]]:
        output = tmp_path / f"out{next(numbers)}.csv"
        predict_to_csv(model, str(source), output)
        with output.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return run


def scores(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith("prob:")]


def test_a_dataset_folder_gives_the_predictions_csv_of_its_run(rows_of, run_folder, dataset_folder):
    model = Classifier.load(run_folder)
    with (run_folder / "predictions.csv").open(newline="") as file:
        recorded = list(csv.DictReader(file))
    found = rows_of(dataset_folder, model)
    assert list(found[0])[:-2] == list(recorded[0])
    evaluated = [row for row in found if row["split"] != "train"]
    assert len(found) > len(evaluated) == len(recorded)
    for row, wanted in zip(evaluated, recorded, strict=True):
        for name in ("source", "split", "patient", "label", "predicted"):
            assert row[name] == wanted[name]
        assert scores(row) == pytest.approx(scores(wanted), abs=1e-5)
        (decided,) = decide(np.array([scores(row)]), model.operating_point, model.labels)
        assert (row["decision"], row["error"]) == (model.labels[decided], "")


def test_a_folder_gives_a_row_for_every_image_in_order(rows_of, folder, classifier):
    rows = rows_of(folder)
    names = sorted([*GOOD, *BAD, "other/4.dcm"])
    assert [row["source"] for row in rows] == names
    for row in rows:
        parent = Path(row["source"]).parent.name
        assert row["label"] == (parent if parent in classifier.labels else "")
        assert (row["split"], row["patient"]) == ("", "")
        if row["source"] in BAD:
            assert row["error"].endswith((".", "files."))
            assert {value for name, value in row.items() if name not in ("source", "label", "error")} == {""}
            continue
        expected = classifier.probabilities([read_xray(folder / row["source"]).image])[0]
        assert scores(row) == pytest.approx(expected.tolist(), abs=1e-5)
        assert row["predicted"] == classifier.labels[int(expected.argmax())]
        assert row["error"] == ""
    assert "not an image" in rows[names.index("NORMAL/text.png")]["error"]
    assert "empty" in rows[names.index("empty.jpg")]["error"]
    assert "damaged" in rows[names.index("other/cut.jpeg")]["error"]


def test_a_zip_gives_what_its_folder_gives(rows_of, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder))
    assert rows_of(tmp_path / "all.zip") == rows_of(folder)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize(("name", "size"), [("bomb.png", 65 * 2**20), ("../../up.png", 100)])
def test_a_hostile_zip_is_refused(rows_of, tmp_path, name, size):
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(size))
    with pytest.raises(ChestXrayError, match="is refused"):
        rows_of(tmp_path / "hostile.zip")
    assert not (tmp_path.parent / "up.png").exists()


def test_a_damaged_member_is_a_row_and_a_damaged_zip_an_error(rows_of, tmp_path, folder):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / GOOD[0], "a.png")
        archive.write(folder / GOOD[1], "b.jpeg")
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF  # a.png's pixels no longer fit its checksum
    path.write_bytes(data)
    assert [bool(row["error"]) for row in rows_of(path)] == [True, False]
    path.write_bytes(data[:-60])
    with pytest.raises(ChestXrayError, match="cannot be read as a zip"):
        rows_of(path)


def test_a_pattern_takes_files_of_any_name(rows_of, folder, tmp_path):
    (tmp_path / "scans" / "NORMAL").mkdir(parents=True)
    (tmp_path / "scans" / "NORMAL" / "IM0001").write_bytes((folder / "other" / "4.dcm").read_bytes())
    (row,) = rows_of(tmp_path / "scans" / "*" / "IM*")
    assert (row["source"], row["label"], row["error"]) == ("NORMAL/IM0001", "NORMAL", "")
    assert [row["source"] for row in rows_of(folder / "**" / "[12].jp*")] == ["NORMAL/2.jpeg"]
    (tmp_path / "[odd]").mkdir()
    (tmp_path / "[odd]" / "a.png").write_bytes((folder / GOOD[0]).read_bytes())
    assert [row["source"] for row in rows_of(tmp_path / "[odd]")] == ["a.png"]


def test_one_file_and_a_class_folder(rows_of, folder):
    (alone,) = rows_of(folder / "NORMAL" / "1.png")
    assert (alone["source"], alone["label"]) == ("1.png", "NORMAL")
    inside = rows_of(folder / "NORMAL")
    assert [row["source"] for row in inside] == ["1.png", "2.jpeg", "text.png"]
    assert {row["label"] for row in inside} == {"NORMAL"}
    assert scores(alone) == scores(inside[0])


def test_pipes_and_circles_of_links_stop_nothing(rows_of, tmp_path):
    root = write_images(tmp_path / "odd", "a.png")
    os.mkfifo(root / "pipe.png")
    (root / "circle").symlink_to(root)
    (root / "nowhere.png").symlink_to(root / "gone")
    assert [(row["source"], bool(row["error"])) for row in rows_of(root)] == [("a.png", False), ("nowhere.png", True)]


def test_names_break_neither_the_file_nor_a_spreadsheet(rows_of, tmp_path):
    root = tmp_path / "names"
    shown = {
        "=1+1.png": "./=1+1.png",
        "-x/1.png": "./-x/1.png",
        "@a.png": "./@a.png",
        "+1.png": "./+1.png",
        'quo"te,comma.png': 'quo"te,comma.png',
        "ü.png": "ü.png",
        "line\nbreak.png": r"line\nbreak.png",
        "\x1b[31mred.png": r"\x1b[31mred.png",
        os.fsdecode(b"\xff.png"): r"\udcff.png",
        "turn\u202egnp.png": r"turn\u202egnp.png",
    }
    found = [row["source"] for row in rows_of(write_images(root, *shown))]
    assert sorted(found) == sorted(shown.values())
    assert all((root / name).exists() for name in found if name.startswith("./"))
    text = (tmp_path / "out0.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(shown) + 1
    assert text.replace("\n", "").isprintable()


def test_a_dataset_may_lack_labels_patients_and_names(rows_of, folder, tmp_path):
    images = [{"bytes": (folder / name).read_bytes(), "path": None} for name in (*GOOD[:2], "NORMAL/text.png")]
    columns = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["=SUM(A1)", "NORMAL"])}
    stored = datasets.Dataset.from_dict({"image": images, "label": [-1, 0, 1]}, features=datasets.Features(columns))
    (tmp_path / "set" / "data").mkdir(parents=True)
    stored.to_parquet(tmp_path / "set" / "data" / "test-00000-of-00001.parquet")
    rows = rows_of(tmp_path / "set")
    assert [row["source"] for row in rows] == ["test/0", "test/1", "test/2"]
    assert [row["label"] for row in rows] == ["", "'=SUM(A1)", "NORMAL"]
    assert [bool(row["error"]) for row in rows] == [False, False, True]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("empty", "has no images"),
        ("empty/*.png", "has no images"),
        ("absent", "no such file or folder"),
        ("absent/further/down", "no such file or folder"),
        ("table", "has no column `image`"),
    ],
)
def test_a_source_without_images_is_a_usage_error(rows_of, tmp_path, source, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "table").mkdir()
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(tmp_path / "table" / "train.parquet")
    with pytest.raises(UsageError, match=sentence):
        rows_of(tmp_path / source)


def test_if_nothing_can_be_read_nothing_is_written(classifier, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"text")
    with pytest.raises(ChestXrayError, match=r"none of the 1 images.*a\.png: .*not an image"):
        predict_to_csv(classifier, str(tmp_path / "bad"), tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_an_output_that_exists_is_not_replaced(classifier, folder, tmp_path):
    (tmp_path / "mine.csv").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        predict_to_csv(classifier, str(folder), tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "precious"


def test_images_are_asked_for_only_a_little_ahead(classifier, folder):
    asked = itertools.count()
    endless = (SourceImage(str(next(asked)), folder / GOOD[0]) for _ in itertools.count())
    predictions = predict(classifier, endless)
    first = [next(predictions) for _ in range(3)]
    assert [one.image.source for one in first] == ["0", "1", "2"]
    predictions.close()
    assert next(asked) < 16 * (len(os.sched_getaffinity(0)) + 1)


def test_a_file_that_cannot_be_read_or_has_no_answer_is_a_row(folder, three_classes, tmp_path):
    damaged = shutil.copytree(three_classes, tmp_path / "damaged")
    weights = load_file(damaged / "model.safetensors")
    bias = next(name for name in weights if name.endswith("classifier.bias"))
    save_file(weights | {bias: np.full_like(weights[bias], np.nan)}, damaged / "model.safetensors", {"format": "pt"})
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    images = [SourceImage("a", tmp_path / "circle.png"), SourceImage("b", folder / GOOD[0])]
    circle, unanswered = predict(Classifier.load(damaged), images)
    assert circle.error == "The file cannot be read: Too many levels of symbolic links."
    assert "no valid probabilities" in unanswered.error
    assert circle.probabilities is unanswered.probabilities is None


def test_images_of_any_proportion_are_classified(rows_of, tmp_path):
    for width, height in ((1, 1), (1, 700), (3, 3), (700, 3)):
        Image.new("L", (width, height), 90).save(tmp_path / f"{width}x{height}.png")
    assert [row["error"] for row in rows_of(tmp_path)] == [""] * 4


def test_the_command_line(folder, tmp_path):
    output = tmp_path / "new" / "predictions.csv"
    done = run_python("-m", "train.predict", DEFAULT_MODEL, folder, "--output", output)
    assert done.returncode == 0, done.stderr
    assert f"{len(GOOD) + len(BAD) + 1} images, {len(BAD)} unreadable" in done.stdout
    assert "over 3 images with a known label" in done.stdout
    assert os.listdir(output.parent) == ["predictions.csv"]


@pytest.mark.parametrize(
    ("model", "source", "code", "sentence"),
    [
        (DEFAULT_MODEL / "absent", DEFAULT_MODEL, 2, "no such file or folder"),
        (DEFAULT_MODEL / "figures", DEFAULT_MODEL, 2, "no config.json"),
        (DEFAULT_MODEL, DEFAULT_MODEL / "README.md", 1, "none of the 1 images could be read"),
    ],
)
def test_what_cannot_work_is_one_sentence(model, source, code, sentence, tmp_path, monkeypatch, capsys):
    output = tmp_path / "not.csv"
    monkeypatch.setattr("sys.argv", ["predict", str(model), str(source), "--output", str(output)])
    with pytest.raises(SystemExit) as ended:
        run_cli(main)
    assert ended.value.code == code
    assert sentence in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--help"], "CSV file to write"),
        (["nosuch", "tests", "--output", "new.csv"], "error: MODEL nosuch: no such file or folder"),
        ([DEFAULT_MODEL, "nosuch", "--output", "new.csv"], "error: SOURCE nosuch: no such file or folder"),
        ([DEFAULT_MODEL, "tests", "--output", "app.py"], "error: --output app.py exists already"),
        ([DEFAULT_MODEL, "tests", "--output", "app.py/x.csv"], "error: --output app.py/x.csv cannot be written"),
    ],
)
def test_help_and_mistakes_are_answered_before_anything_slow_is_imported(arguments, sentence):
    watched = f"import runpy, sys; sys.argv = ['predict', *{[str(word) for word in arguments]!r}]\n"
    watched += "try:\n    runpy.run_module('train.predict', run_name='__main__')\n"
    watched += "finally:\n    print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    done = run_python("-X", "utf8", "-c", watched)
    assert sentence in done.stdout + done.stderr
    assert done.stdout.endswith("[]\n")
    assert done.returncode == (0 if arguments == ["--help"] else 2)


def test_a_datasets_splits_are_judged_apart(run_folder, dataset_folder, tmp_path):
    output = tmp_path / "predictions.csv"
    done = run_python("-m", "train.predict", run_folder, dataset_folder, "--output", output)
    assert done.returncode == 0, done.stderr
    judged = dict(re.findall(r"^(\w*) ?accuracy .* over (\d+) images", done.stdout, re.MULTILINE))
    assert judged == {"train": "137", "validation": "15", "test": "48"}
