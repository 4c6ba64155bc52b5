"""The command `hub.merge`."""

import shutil

from hub.merge import main
from tests.commands import call
from tests.hub.converted import report_of
from tests.hub.merging.conftest import merge_map, merged_folder, two_sources  # noqa: F401 - fixtures


def test_it_merges_and_says_what_it_did(two_sources, merge_map, tmp_path):  # noqa: F811
    done = call(main, *two_sources, "--labels", merge_map, "--output", tmp_path / "out", "--no-audit", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert (
        "north: train 23, validation 7, test 8; dropped: 1 conflicting label; 1 exact copy; 1 patient\n" in done.stdout
    )
    report = report_of(tmp_path / "out")
    assert (report["merge"]["seed"], "shortcuts" in report) == (3, False)


def test_the_map_that_an_error_shows_is_a_beginning(two_sources, tmp_path):  # noqa: F811
    done = call(main, *two_sources, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the datasets have different classes (north: ill, well; south: Healthy, ")
    assert '[sources."south".labels]\n"Healthy" = false\n' in done.stderr
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told_at_once(two_sources, merge_map, merged_folder, tmp_path):  # noqa: F811
    north, south = two_sources
    twin = shutil.copytree(north, tmp_path / "more" / "north")
    out = ("--output", tmp_path / "out")
    for arguments, says in (
        ((north, *out), "give two datasets or more"),
        ((north, "nosuch", *out), "the dataset nosuch: no such"),
        ((north, twin, *out), "two datasets are called north"),
        ((north, south, "--output", merged_folder), "exists already"),
        ((north, south, *out, "--labels", tmp_path / "no.toml"), "no.toml cannot be read"),
        ((north, twin.parent, *out, "--labels", merge_map), "south is none of the datasets given"),
        ((north, south, *out, "--test-fraction", "0.6"), "--test-fraction: '0.6'; it must be a number above 0"),
        ((north, south, *out, "--test-fraction", "0.5", "--val-fraction", "0.4"), "Leave 0.2 or more for training"),
    ):
        done = call(main, *arguments)
        assert (done.returncode, says in done.stderr) == (2, True), done.stderr
