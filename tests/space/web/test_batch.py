"""Many images at a time: what is listed, what each row says, what is refused."""

import csv
import os
import shutil
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from space.web.batch import BatchImage, compare, header, open_batch, rows, save_table
from space.web.service import EXAMPLES
from space.web.settings import Settings
from space.web.texts import ALL
from tests.hostile import zip_of_zeros

ENGLISH = ALL["en"]


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return str(path)


def names_of(paths: list[str] | None, **settings) -> list[str]:
    with open_batch(paths, Settings(**settings), ENGLISH) as images:
        return [image.name for image in images]


def test_every_image_of_uploads_and_zips_gets_a_row_in_order(make_service, phantom, tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8))
    noise.save(tmp_path / "noise.png")
    members = {"b/xray.png": phantom.read_bytes(), "a/letter.png": b"Dear doctor", "__MACOSX/._x.png": b"junk"}
    shutil.copy(EXAMPLES / "phantom_1.png", tmp_path)
    uploads = [str(phantom), write_zip(tmp_path / "more.zip", members), *map(str, sorted(tmp_path.glob("*n*.png")))]
    service = make_service()
    with open_batch(uploads, service.settings, ENGLISH) as images:
        table = list(rows(service, images, ENGLISH))
    assert header(service, ENGLISH) == ["file", "most probable", "decision", "NORMAL", "PNEUMONIA", "problem"]
    assert [row[0] for row in table] == ["xray.png", "a/letter.png", "b/xray.png", "noise.png", "phantom_1.png"]
    scores = service.examine(phantom).scores
    assert table[0][1:] == table[2][1:] == [*[table[0][1]] * 2, *(f"{score:.4f}" for score in scores.values()), ""]
    assert table[1][1:5] == table[3][1:5] == [""] * 4
    assert "not an image" in table[1][-1]
    assert "does not look like" in table[3][-1]
    assert (float(table[4][4]) > 0.5, "synthetic phantom" in table[4][-1]) == (True, True)


def test_images_not_reached_in_time_are_skipped(make_service, phantom):
    (row,) = rows(make_service(max_seconds=0), [BatchImage("a.png", phantom)], ENGLISH)
    assert row[0] == "a.png"
    assert "time limit of 0 seconds" in row[-1]


def test_archives_are_neither_inflated_nor_listed_without_end(make_service, tmp_path):
    (tmp_path / "bomb.zip").write_bytes(zip_of_zeros(300))
    with pytest.raises(gr.Error, match=r"bomb\.zip is refused: it unpacks to 300,000,000 bytes"):
        names_of([str(tmp_path / "bomb.zip")])
    many = write_zip(tmp_path / "many.zip", {f"{number}.png": b"" for number in range(4)})
    assert len(names_of([many], max_batch_files=4)) == 4
    for paths in ([many], [str(EXAMPLES / "phantom_1.png")] * 4):
        with pytest.raises(gr.Error, match="up to 3"):
            names_of(paths, max_batch_files=3)
    names = write_zip(tmp_path / "names.zip", {f"{number}/": b"" for number in range(61)})
    with pytest.raises(gr.Error, match="has 61 entries"):
        names_of([names], max_batch_files=3)
    noise = os.urandom(5000)
    service = make_service(max_upload_mb=1)
    for number, method in enumerate((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)):
        path = write_zip(tmp_path / f"{number}.zip", {"a.png": noise}, method)
        with open_batch([path], service.settings, ENGLISH) as images:
            ((*_, problem),) = rows(service, images, ENGLISH)
        assert "cannot be unpacked" in problem
    large = write_zip(tmp_path / "large.zip", {"a.png": os.urandom(1_000_001)}, zipfile.ZIP_STORED)
    with open_batch([large], service.settings, ENGLISH) as images:
        ((*_, problem),) = rows(service, images, ENGLISH)
    assert "at most 1 MB" in problem


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (None, "cannot be read as a zip"),
        ({"../up.png": b""}, "may lead out"),
        ({"__MACOSX/._a.png": b""}, "no images in this zip"),
    ],
)
def test_a_zip_that_cannot_be_taken_is_a_sentence_in_each_language(tmp_path, members, sentence):
    (tmp_path / "odd.zip").write_bytes(b"PK\x03\x04 and nothing more")
    if members is not None:
        write_zip(tmp_path / "odd.zip", members)
    for texts in ALL.values():
        with (
            pytest.raises(gr.Error) as caught,
            open_batch([str(tmp_path / "odd.zip")], Settings(), texts),
        ):
            pass
        assert str(tmp_path) not in caught.value.message
        assert (sentence in caught.value.message) == (texts.code == "en")
    with pytest.raises(gr.Error, match="Choose images first"):
        names_of(None)


def test_zips_are_closed_with_the_batch(make_service, phantom, tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": phantom.read_bytes()})
    with open_batch([path], Settings(), ENGLISH) as images:
        service = make_service()
    ((*_, problem),) = rows(service, images, ENGLISH)
    assert "cannot be unpacked" in problem


def test_models_with_other_labels_are_compared(models, phantom, tmp_path):
    head, table = compare(models.values(), str(phantom), False, ENGLISH)
    assert head == ["Model", "default-model", "three"]
    lines = {line[0]: line[1:] for line in table}
    assert list(lines) == ["most probable", "decision", "NORMAL", "PNEUMONIA", "COVID", "problem"]
    assert lines["COVID"][0] == lines["decision"][1] == ""
    for column in (0, 1):
        scores = [float(lines[label][column] or 0) for label in ("NORMAL", "PNEUMONIA", "COVID")]
        assert sum(scores) == pytest.approx(1, abs=2e-4)
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    for anyway in (False, True):
        table = compare(models.values(), str(tmp_path / "blank.png"), anyway, ENGLISH)[1]
        lines = {line[0]: line[1:] for line in table}
        assert all("blank" in problem for problem in lines["problem"])
        assert [bool(score) for score in lines["NORMAL"]] == [anyway] * 2


def test_no_spreadsheet_runs_the_table():
    path = save_table(["file"], [["=1+1"], [" @a"], ["\t＝1"], ["a;=1+1;.png"], ["ü"]])
    text = Path(path).read_text(encoding="utf-8-sig")
    assert list(csv.reader(text.splitlines())) == [["file"], ["'=1+1"], ["' @a"], ["'\t＝1"], ["a;=1+1;.png"], ["ü"]]
    assert '"a;=1+1;.png"' in text
