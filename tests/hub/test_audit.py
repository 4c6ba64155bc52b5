"""The command `hub.audit`."""

import shutil

from hub.audit import main
from tests.commands import call
from tests.hub.converted import report_of


def test_it_writes_where_it_is_told_and_says_so(leaky_dataset, tmp_path):
    other = shutil.copytree(leaky_dataset, tmp_path / "other")
    before = (leaky_dataset / "audit.json").read_bytes()
    options = ("--against", other, "--output", tmp_path / "report", "--workers", "1", "--with-samples")
    done = call(main, leaky_dataset, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"The details are in {tmp_path / 'report' / 'audit.json'}.\n")
    report = report_of(tmp_path / "report")
    assert (list(report["against"]), report["with_samples"]) == (["other"], True)
    assert (tmp_path / "report" / "figures" / "samples.png").is_file()
    assert (leaky_dataset / "audit.json").read_bytes() == before


def test_a_mistyped_dataset_is_told_at_once(leaky_dataset):
    for arguments in (("nosuch",), (leaky_dataset, "--against", "nosuch")):
        done = call(main, *arguments)
        assert (done.returncode, done.stderr.partition(": no such")[0]) == (2, "error: the dataset nosuch")
