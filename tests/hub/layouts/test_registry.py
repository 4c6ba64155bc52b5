"""Which layout a source has."""

import zipfile

import pytest

from hub.conversion import Options, convert
from hub.convert import main
from hub.layouts.registry import LAYOUTS, recognise
from space.errors import UsageError
from space.imaging.archives import Zip
from tests.commands import call
from tests.hub.layouts.trees import COVID19, qu_ex, radiography, read
from tests.phantoms import write_images


def test_two_possible_layouts_are_both_named_and_can_be_chosen(tmp_path):
    write_images(tmp_path, *(f"a/{path}" for path in COVID19))
    radiography(tmp_path / "b")
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    for words in ("covid19-image-dataset in a", "covid19-radiography-database in b", "--layout"):
        assert words in str(caught.value)
    assert read(tmp_path, "covid19-image-dataset")[0] == "covid19-image-dataset"
    assert len(read(tmp_path, "covid19-radiography-database")[1]) == 12


def test_the_same_layout_twice_side_by_side_is_refused(tmp_path):
    write_images(tmp_path, *(f"{top}/{path}" for top in "ab" for path in COVID19))
    with pytest.raises(UsageError, match=r"in a; .* in b"):
        read(tmp_path)


def test_a_zip_gives_the_same_records_as_its_folder(tmp_path):
    qu_ex(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "in").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "in"))
    archive = Zip(tmp_path / "x.zip")
    layout, root, tree = recognise(archive)
    assert layout.records(archive, tree, root) == read(tmp_path / "in")[1]


def test_an_unknown_folder_is_refused_with_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "in" / "cats").mkdir(parents=True)
    (tmp_path / "in" / "cats" / "list.txt").write_text("tom")
    done = call(main, tmp_path / "in", "--output", tmp_path / "out")
    first, *allowed = done.stderr.splitlines()
    sentences = "has no known layout. It holds cats/, cats/list.txt. Give a folder or zip like one of:"
    assert (done.returncode, first) == (2, f"error: {tmp_path / 'in'} {sentences}")
    assert allowed == [f"  {name}: {layout.structure}" for name, layout in LAYOUTS.items()]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("rsna-pneumonia-detection-challenge", r"does not have the layout rsna-.*\. It holds no files\.$"),
        ("nonsense", "--layout nonsense is not known. Allowed: chest-xray-pneumonia, "),
    ],
)
def test_a_named_layout_that_does_not_fit_is_refused(tmp_path, layout, expected):
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match=expected):
        convert(tmp_path / "in", tmp_path / "out", Options(layout=layout))
