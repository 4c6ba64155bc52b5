"""`python -m train.predict`: its file, its order, its errors."""

import csv
import itertools
import os
import re

import numpy as np
import pytest
from PIL import Image

from space.errors import ChestXrayError, UsageError, run_cli
from space.inference.classifier import Classifier
from space.inference.operating_point import decide
from tests.commands import call
from tests.conftest import DEFAULT_MODEL, run_python, with_damaged_weights
from tests.phantoms import write_images
from tests.train.sources import BAD, GOOD, scores
from train.data.find_images import SourceImage
from train.predict import main, predict, predict_to_csv


def test_a_dataset_folder_gives_the_predictions_csv_of_its_run(rows_of, run_folder, dataset_folder):
    model = Classifier.load(run_folder)
    with (run_folder / "predictions.csv").open(newline="") as file:
        recorded = list(csv.DictReader(file))
    found = rows_of(dataset_folder, model)
    assert list(found[0])[:-3] == list(recorded[0])
    evaluated = [row for row in found if row["split"] != "train"]
    assert len(found) > len(evaluated) == len(recorded)
    for row, wanted in zip(evaluated, recorded, strict=True):
        for name in ("source", "split", "patient", "label", "predicted"):
            assert row[name] == wanted[name]
        assert scores(row) == pytest.approx(scores(wanted), abs=1e-5)
        (decided,) = decide(np.array([scores(row)]), model.operating_point, model.labels)
        assert (row["decision"], row["error"]) == (model.labels[decided], "")


def test_if_nothing_can_be_read_nothing_is_written(bundled, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"text")
    with pytest.raises(ChestXrayError, match=r"none of the 1 images.*a\.png: .*not an image"):
        predict_to_csv(bundled, str(tmp_path / "bad"), tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_an_output_that_exists_is_not_replaced(bundled, image_folder, tmp_path):
    (tmp_path / "mine.csv").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        predict_to_csv(bundled, str(image_folder), tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "precious"


def test_images_are_asked_for_only_a_little_ahead(bundled, image_folder):
    asked = itertools.count()
    endless = (SourceImage(str(next(asked)), image_folder / GOOD[0]) for _ in itertools.count())
    predictions = predict(bundled, endless)
    first = [next(predictions) for _ in range(3)]
    assert [one.image.source for one in first] == ["0", "1", "2"]
    predictions.close()
    assert next(asked) < 16 * (len(os.sched_getaffinity(0)) + 1)


def test_a_file_that_cannot_be_read_or_has_no_answer_is_a_row(image_folder, three_classes, tmp_path):
    damaged = with_damaged_weights(three_classes, tmp_path / "damaged")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    images = [SourceImage("a", tmp_path / "circle.png"), SourceImage("b", image_folder / GOOD[0])]
    circle, unanswered = predict(Classifier.load(damaged), images)
    assert circle.error == "The file cannot be read: Too many levels of symbolic links."
    assert "no valid probabilities" in unanswered.error
    assert circle.probabilities is unanswered.probabilities is None


def test_what_is_hardly_a_chest_x_ray_is_doubted_and_classified_all_the_same(bundled, tmp_path):
    random = np.random.default_rng(0)
    folder = write_images(tmp_path / "images", "xray.png")
    noise = random.integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(folder / "colour.png")
    Image.fromarray(noise[..., 0]).save(folder / "noise.png")
    Image.fromarray(noise[:40, :40, 0]).save(folder / "small.png")
    rows = {}
    for option in ("", "--no-guard"):
        output = tmp_path / f"out{option}.csv"
        done = call(main, DEFAULT_MODEL, folder, "--output", output, *option.split())
        assert done.returncode == 0, done.stderr
        assert ("3 do not look like frontal chest X-rays" in done.stdout) == (not option)
        rows[option] = list(csv.DictReader(output.open()))
    doubts = {row["source"]: row["guard"] for row in rows[""]}
    assert doubts == {"colour.png": "colour", "noise.png": "unlike", "small.png": "small", "xray.png": ""}
    assert {row["guard"] for row in rows["--no-guard"]} == {""}
    assert [scores(row) for row in rows[""]] == [scores(row) for row in rows["--no-guard"]]


def test_images_of_any_proportion_are_classified(rows_of, tmp_path):
    for width, height in ((1, 1), (1, 700), (3, 3), (700, 3)):
        Image.new("L", (width, height), 90).save(tmp_path / f"{width}x{height}.png")
    assert [row["error"] for row in rows_of(tmp_path)] == [""] * 4


def test_the_command_line(image_folder, tmp_path):
    output = tmp_path / "new" / "predictions.csv"
    done = run_python("-m", "train.predict", DEFAULT_MODEL, image_folder, "--output", output)
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
