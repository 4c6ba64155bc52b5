"""Errors as a command line shows them, and mistyped paths that are told from repositories."""

import os
import signal

import pytest

from space.errors import (
    ChestXrayError,
    CommandParser,
    UsageError,
    check_local,
    first_line,
    run_cli,
    too_large,
    too_many_pixels,
    unreadable,
)
from train.common.atomic_output import rewritten_whole


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such thing."), 2, "error: no such thing."),
        (ChestXrayError("it failed."), 1, "error: it failed."),
        (KeyboardInterrupt(), 130, "interrupted: the output was not written"),
        (OSError(28, "secret", "/out"), 1, "error: No space left on device (/out)"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, line, capsys):
    def fail():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_cli(fail)
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{line}\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "the following arguments are required: kind. See --help."),
        (["modle"], "kind: invalid choice: 'modle' (choose from 'model', 'space'). See --help."),
        (["model", "--jobs", "two"], "--jobs: invalid int value: 'two'. See --help."),
        (["model", "--job=1", "--fast"], "unrecognized arguments: --fast. See --help."),
    ],
)
def test_wrong_usage_is_one_line_too(words, line, capsys):
    parser = CommandParser()
    parser.add_argument("kind", choices=["model", "space"])
    parser.add_argument("--jobs", type=int)
    with pytest.raises(SystemExit) as ended:
        run_cli(lambda: parser.parse_args(words))
    assert (ended.value.code, capsys.readouterr().err) == (2, f"error: {line}\n")


def test_a_request_to_end_leaves_nothing_half_written(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)

    def main():
        with rewritten_whole(tmp_path / "run"):
            os.kill(os.getpid(), signal.SIGTERM)

    (tmp_path / "run").mkdir()
    try:
        with pytest.raises(SystemExit) as ended:
            run_cli(main)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted: the output was not written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_success_is_0_and_other_errors_are_tracebacks():
    with pytest.raises(SystemExit) as ended:
        run_cli(lambda: None)
    assert ended.value.code == 0
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 / 0)


def test_names_that_are_no_text_can_be_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        run_cli(lambda: print(os.fsdecode(b"\xff.png")))
    assert (ended.value.code, capsys.readouterr().out) == (0, "\\udcff.png\n")


def test_a_mistyped_path_is_told_from_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    for name in ("runs", "runs/mine", "./runs", "owner/name", "owner/name.v2"):
        check_local(name, "--init")
    for name in ("nosuch", "runs/mistyped", "./nosuch", "a/b/c", "/nosuch", "owner/a name", "owner/ünicode"):
        with pytest.raises(UsageError, match=f"^--init {name}: no such file or folder"):
            check_local(name, "--init")
    with pytest.raises(UsageError, match=r"^--init '': no such file or folder"):  # which Path takes for "."
        check_local("", "--init")


def test_sentences_name_the_limit_and_no_path():
    assert str(too_large(10_000_000)) == "The file is too large: at most 10 MB are allowed."
    assert str(too_large(64 * 2**20)) == "The file is too large: at most 67.11 MB are allowed."
    assert str(too_many_pixels(1000)) == "The image is too large: at most 1,000 pixels are allowed."
    assert "of 2,000 x 30 pixels is too large" in str(too_many_pixels(1000, (2000, 30)))
    assert str(unreadable(OSError(5, "secret", "/secret"))) == "The file cannot be read: Input/output error."


def test_the_first_line_of_an_error_is_a_sentence():
    assert first_line(ValueError("one\ntwo")) == "one."
    assert first_line(ValueError("Is it?")) == "Is it?"
    assert first_line(ValueError()) == "ValueError."
