"""Which licence binds the whole."""

import pytest

from hub.merging.licences import strictest
from hub.publishing.preflight import FREE


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["cc-by-4.0"], "cc-by-4.0"),
        (["cc-by-sa-4.0", "cc0-1.0", "cc-by-4.0"], "cc-by-sa-4.0"),
        (["cc-by-nc-4.0", "cc-by-sa-4.0"], "cc-by-nc-4.0"),
        (["cc-by-4.0", "unknown"], "other"),
        (["other", "mit"], "other"),
    ],
)
def test_the_strictest_part_binds_and_an_unknown_one_more_than_any(parts, whole):
    assert strictest(parts) == whole


def test_no_free_licence_becomes_unknown():
    assert all(strictest([name]) == name for name in FREE)
