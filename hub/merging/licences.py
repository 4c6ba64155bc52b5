"""Which licence binds a dataset whose images come under several."""

from collections.abc import Iterable

OTHER = "other"  # how the Hub calls terms that it has no name for
# From what asks least to what asks most, so that whoever keeps to the last one keeps to those before it. An unknown
# licence asks more than all of these: it may allow nothing.
BY_STRICTNESS = (
    "cc0-1.0",  # asks nothing
    "mit", "bsd-3-clause", "apache-2.0",  # keep the notice
    "cc-by-4.0",  # name the authors
    "cc-by-sa-4.0",  # and share what is derived under the same terms
    "cc-by-nc-4.0",  # no commercial use
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",  # nothing derived may be shared, which shrunk or relabelled images are
    "cc-by-nc-nd-4.0",
)  # fmt: skip


def strictest(licences: Iterable[str]) -> str:
    """The licence that binds the whole: the strictest of its parts, `OTHER` if one of them is not in the list."""
    names = set(licences)
    return max(names, key=BY_STRICTNESS.index) if names <= set(BY_STRICTNESS) else OTHER
