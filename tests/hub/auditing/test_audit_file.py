"""An earlier audit.json: what is taken over from it, and what is refused."""

import json

import pytest

from hub.auditing.audit_file import EarlierAudit, read_earlier_audit
from space.errors import UsageError
from tests.conftest import REPOSITORY
from tests.hub.converted import report_of


def test_what_a_conversion_wrote_reads_back(leaky_dataset):
    earlier, report = read_earlier_audit(leaky_dataset), report_of(leaky_dataset)
    assert vars(earlier.conversion) == report["conversion"]
    assert (earlier.dropped, earlier.kept_leaks, earlier.against) == (report["dropped"], [], {})


def test_a_file_of_an_earlier_version_reads():
    earlier = read_earlier_audit(REPOSITORY / "tests" / "hub" / "phantoms_of_5c919f0")
    assert (earlier.conversion.layout, earlier.conversion.official_test) == ("chest-xray-pneumonia", True)


def test_no_file_and_no_conversion_are_no_error(tmp_path):
    assert read_earlier_audit(tmp_path) == EarlierAudit()
    (tmp_path / "audit.json").write_text(json.dumps({"images": 3, "conversion": {}, "against": {}}))
    assert read_earlier_audit(tmp_path) == EarlierAudit()


@pytest.mark.parametrize(
    "change",
    [
        {"conversion": {"layout": "image-folder"}}, {"conversion": [1]}, {"against": [1]},
        {"against": {"other": 1}}, {"against": {"other": {"exact": 1}}}, {"dropped": "x"},
    ],
)  # fmt: skip
def test_an_odd_file_is_refused_in_one_line(leaky_dataset, tmp_path, change):
    (tmp_path / "audit.json").write_text(json.dumps(report_of(leaky_dataset) | change))
    with pytest.raises(
        UsageError, match=r"audit\.json is damaged or was not written by this project: .* Delete it, or convert"
    ) as error:
        read_earlier_audit(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["masks", "labels", "leaks", "leaks_kept", "fractions"])
def test_a_conversion_without_what_the_card_needs_is_refused(leaky_dataset, tmp_path, key):
    report = report_of(leaky_dataset)
    del report["conversion"][key]
    (tmp_path / "audit.json").write_text(json.dumps(report))
    with pytest.raises(UsageError, match=key):
        read_earlier_audit(tmp_path)


@pytest.mark.parametrize("content", [b"[]", b"\xff\xfe", b"[" * 100_000, b""])
def test_what_is_no_json_object_is_refused(tmp_path, content):
    (tmp_path / "audit.json").write_bytes(content)
    with pytest.raises(UsageError, match="was not written by this project"):
        read_earlier_audit(tmp_path)
