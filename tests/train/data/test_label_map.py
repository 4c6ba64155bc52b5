"""A file that renames, merges and drops classes."""

import pytest

from hub.convert import main
from tests.commands import call
from tests.phantoms import write_images

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('cat = "dog"', "cat"),
        ("ill = 3", "ill = 3"),
        ("ill = ", "TOML"),
        ("ill = false", "two classes"),
        (None, "read"),
    ],
)
def test_a_label_map_that_does_not_fit_is_a_usage_error(tmp_path, text, says):
    write_images(tmp_path / "in", *CLASSES)
    if text is not None:
        (tmp_path / "map.toml").write_text(text)
    done = call(main, tmp_path / "in", "--output", tmp_path / "out", "--labels", tmp_path / "map.toml")
    assert done.returncode == 2
    assert says in done.stderr
