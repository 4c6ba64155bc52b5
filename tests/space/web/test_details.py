"""What programs are told of an image."""

import re

from PIL import Image

from space.errors import ErrorCode, XrayError
from space.web.details import details_of, row_of, software, to_json
from space.web.service import EXAMPLES
from tests.conftest import DEFAULT_MODEL


def test_details_name_what_computed_and_what_was_decided(models, phantom):
    service = models["default-model"]
    examined = service.examine(phantom)
    details = to_json(details_of(service, examined))
    point = service.classifier.operating_point
    assert details["probabilities"] == examined.scores
    assert details["label"] == max(examined.scores, key=examined.scores.get)
    assert details["decision"] == service.decided(examined.scores)
    assert (details["rule"], details["positive_label"], details["threshold"]) == (
        point.rule,
        point.positive_label,
        point.threshold,
    )
    assert (details["model"], details["commit"], details["guard"], details["warnings"]) == (
        "default-model",
        None,
        None,
        [],
    )
    assert len(details["graph_sha256"]) == 64
    assert "not a medical device" in details["notice"]


def test_a_phantom_of_the_page_has_an_answer_with_a_warning(models):
    service = models["default-model"]
    row = to_json(row_of(service, "a.png", service.examine(EXAMPLES / "phantom_1.png")))
    assert row["error"] is None
    assert row["answer"]["guard"] == {
        "code": "phantom",
        "sentence": "This answer means nothing. This is a synthetic phantom, drawn by a program.",
    }


def test_a_row_has_an_answer_or_an_error(models, phantom, tmp_path):
    service = models["default-model"]
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    blank = to_json(row_of(service, "blank.png", service.examine(tmp_path / "blank.png")))
    assert (blank["answer"], blank["error"]["code"]) == (None, "blank")
    damaged = to_json(row_of(service, "x.png", XrayError(ErrorCode.DAMAGED, "Damaged.")))
    assert damaged == {"file": "x.png", "answer": None, "error": {"code": "damaged", "sentence": "Damaged."}}


def test_the_software_is_told_by_a_digest_and_versions():
    versions = software()
    assert re.fullmatch("[0-9a-f]{16}", versions["code"])
    assert set(versions) == {"code", "openvino", "Pillow", "pydicom"}
    assert (DEFAULT_MODEL.parent / "errors.py").is_file()  # of the folder that is digested
