"""Codes and their statuses."""

from space.errors import ErrorCode
from space.inference.guard import Doubt
from space.web.rest.problems import STATUS, Problem, RequestCode

# What only the page, a batch or a file on disk can come to.
ELSEWHERE = {"no_file", "missing", "unreadable", "colour", "bad_archive", "bad_url", "fetch", "too_late"}


def test_every_code_has_a_status_and_no_word_means_two_things():
    codes = [
        *RequestCode,
        *(code for code in ErrorCode if code not in ELSEWHERE),
        *(doubt for doubt in Doubt if doubt.withholds),
    ]
    assert len(codes) == len({str(code) for code in codes})
    assert set(STATUS) == {str(code) for code in codes}
    assert {int(status) for status in STATUS.values()} == {400, 404, 405, 408, 413, 415, 422, 429, 503}
    assert Problem(ErrorCode.DAMAGED, "Damaged.").status == 422
