"""Maps: what they may say, and what is wrong with the others."""

import pytest

from hub.merging.merge_map import plan_sources, plan_without_map, read_merge_map
from space.errors import UsageError
from tests.conftest import REPOSITORY
from tests.hub.merging.conftest import MAP

LABELS = {"north": ["ill", "well"], "south": ["Healthy", "Other", "Sick"]}


def plans(tmp_path, text: str = MAP, labels=LABELS):
    path = tmp_path / "map.toml"
    path.write_text(text)
    return plan_sources(read_merge_map(path, list(labels)), labels)


def test_a_map_says_origins_hospitals_and_classes(tmp_path):
    north, south = plans(tmp_path)
    assert (north.origin, north.hospital, north.labels) == ("north", "Clinic", {"ill": "ill", "well": "well"})
    assert (south.origin, south.hospital) == ("South 2", "South 2")
    assert south.labels == {"Healthy": "well", "Other": None, "Sick": "ill"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[classes]", "[klasses]", "unknown key klasses; did you mean classes"),
        ('ill = "any finding"', "", "two classes or more"),
        ("[sources.north]", "[sources.nort]", "nort is none of the datasets given; did you mean north"),
        ('[sources.north]\nhospital = "Clinic"', "", r"says nothing of north. Add \[sources.\"north\"\]"),
        ("hospital", "hospitals", "unknown key hospitals; did you mean hospital"),
        ("Sick =", "Sik =", "Sik is no class of this dataset; did you mean Sick"),
        ('"ill", Healthy', '"il", Healthy', "labels: Sick = 'il'; did you mean ill"),
        (
            ", Other = false",
            "",
            r"says nothing of class Other\. Common classes: well, ill\. Give a common class, or false",
        ),
        ("false }", "true }", "labels: Other = True"),
        ('origin = "South 2"', 'origin = "north"', "two datasets have the origin north"),
        ('origin = "South 2"', 'origin = "a/b"', "'a/b' cannot be an origin"),
        ('origin = "South 2"', 'copies_of = ["nord"]', "nord is no other; did you mean north"),
        ('origin = "South 2"', 'copies_of = ["south"]', "south is no other"),
        ("[classes]", "[classes", "not valid TOML"),
    ],
)
def test_what_is_wrong_with_a_map_is_said_in_one_line(tmp_path, old, new, says):
    with pytest.raises(UsageError, match=says) as caught:
        plans(tmp_path, MAP.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_sources_cannot_be_compiled_from_each_other(tmp_path):
    text = MAP.replace("hospital", 'copies_of = ["south"]\nhospital').replace("origin", 'copies_of = ["north"]\norigin')
    with pytest.raises(UsageError, match=r"copies_of goes in a circle \((north, south|south, north)\)"):
        plans(tmp_path, text)


def test_equal_classes_need_no_map():
    north, far = plan_without_map({"north": ["ill", "well"], "owner/far": ["well", "ill"]})
    assert (north.origin, far.origin, far.hospital) == ("north", "far", "far")
    with pytest.raises(UsageError, match="two datasets have the origin far"):
        plan_without_map({"far": ["ill", "well"], "owner/far": ["ill", "well"]})


def test_without_a_map_other_classes_are_an_error_that_shows_a_map_which_works(tmp_path):
    with pytest.raises(UsageError, match="different classes") as caught:
        plan_without_map({"north": ["ill", "well"], 'a"b': ["Ill", "Well", "odd"]})
    labels = {"north": ["ill", "well"], 'a"b': ["Ill", "Well", "odd"]}
    shown = str(caught.value).partition("begin with:\n")[2]
    with pytest.raises(UsageError, match=r"'a\"b' cannot be an origin"):
        plans(tmp_path, shown, labels)
    shown += '\n[sources."a\\"b"]\norigin = "ab"\n'
    assert plans(tmp_path, shown, labels)[1].labels == {"Ill": "ill", "Well": "well", "odd": None}


def test_the_committed_map_fits_the_layouts_classes():
    path = REPOSITORY / "hub" / "merges" / "hospitals.toml"
    labels = {
        "kermany": ["NORMAL", "PNEUMONIA"], "radiography": ["Lung_Opacity", "Normal"],
        "covid-qu-ex": ["Non-COVID", "Normal"], "nih": ["NORMAL", "PNEUMONIA"],
    }  # fmt: skip
    assert [plan.hospital for plan in plan_sources(read_merge_map(path, list(labels)), labels)] == [
        "Guangzhou", "NIH", "compiled", "NIH",
    ]  # fmt: skip
