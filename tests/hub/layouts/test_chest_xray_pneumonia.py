"""Kermany's folders and file names."""

import pytest

from hub.conversion import Options, convert
from hub.layouts.registry import LAYOUTS
from tests.phantoms import write_images


@pytest.mark.parametrize(
    ("stem", "patient", "group"),
    [
        ("person7_bacteria_22", "person7_bacteria", "pneumonia-7"),
        ("person7_virus_9", "person7_virus", "pneumonia-7"),
        ("person1372_virus_2365_1", "person1372_virus", "pneumonia-1372"),
        ("IM-0115-0001", "IM-0115", "normal-115"),
        ("IM-0435-0001-0002", "IM-0435", "normal-435"),
        ("NORMAL2-IM-0115-0001", "NORMAL2-IM-0115", "normal-115"),
        ("scan12", None, None),
    ],
)
def test_patients_are_read_from_file_names(stem, patient, group):
    assert LAYOUTS["chest-xray-pneumonia"].patient_of(stem) == (patient, group)


def test_a_folder_that_only_looks_like_a_known_set_gets_a_warning(tmp_path, capsys):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "test") for c in ("NORMAL", "PNEUMONIA") for i in range(12)]
    write_images(tmp_path / "in", *names)
    convert(tmp_path / "in", tmp_path / "out", Options(audit=False))
    assert "48 of 48 file names do not follow the rules of chest-xray-pneumonia" in capsys.readouterr().out
