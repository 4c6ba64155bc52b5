"""Values of command lines, and hints at what was meant."""

import argparse
from pathlib import Path

import pytest

from space.errors import UsageError
from train.common.arguments import (
    check_init,
    did_you_mean,
    parse_count,
    parse_seed,
    parse_share,
    public_name,
    read_toml,
)


def test_seeds_counts_and_shares_are_numbers():
    assert (parse_seed("0"), parse_seed(str(2**32 - 1)), parse_count("1"), parse_share("0.5")) == (0, 2**32 - 1, 1, 0.5)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_seed, "-1"),
        (parse_seed, str(2**32)),
        (parse_seed, "x"),
        (parse_count, "0"),
        (parse_count, "1.5"),
        (parse_share, "0"),
        (parse_share, "0.6"),
        (parse_share, "nan"),
        (parse_share, "half"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(parse, text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a (whole )?number"):
        parse(text)


def test_the_nearest_word_is_named_where_one_is_near():
    assert did_you_mean("epoch", ["epochs", "batch_size"]) == "; did you mean epochs?"
    assert did_you_mean("xyz", ["epochs", "batch_size"]) == ""


def test_starting_weights_are_a_name_a_path_or_a_repository(tmp_path):
    for init in ("imagenet", "scratch", str(tmp_path), "owner/name"):
        check_init(init, "--init")
    for init in ("imagenet1k", str(tmp_path / "none")):
        with pytest.raises(UsageError, match=f"--init {init}: no such file or folder"):
            check_init(init, "--init")


def test_what_is_published_of_a_path_is_its_last_part(tmp_path):
    for path in (tmp_path, tmp_path / "gone by now", "./a/b", "a/b/c", "../b"):
        assert public_name(str(path)) == Path(path).name
    for name in ("imagenet", "scratch", "owner/name"):
        assert public_name(name) == name


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read: No such file or directory\.$"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"^bad\.toml is not valid TOML"):
        read_toml(tmp_path / "bad.toml")
