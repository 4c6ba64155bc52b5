import os
import pty
import subprocess
import sys
import time

from tests.conftest import REPOSITORY, TINY_RECIPE
from train.common.atomic_output import partial_of
from train.common.checkpoint_folder import checkpoints_of
from train.engine.dialogue import Answer, ask_person


def test_the_dialogue_asks_again_until_it_understands(monkeypatch, capsys):
    assert ask_person(5, 10, 0.1) is None  # the tests have no terminal
    monkeypatch.setattr("train.engine.dialogue.can_ask", lambda: True)
    given = iter(["maybe", "-3", "2", "fast", "0", "nan", "0.01"])
    monkeypatch.setattr("builtins.input", lambda question: next(given))
    assert ask_person(5, 10, 0.1) == Answer(2, 0.01)
    shown = capsys.readouterr().out
    assert shown.count("Please press Enter, or type a whole number or n.") == 2
    assert shown.count("Please press Enter, or type a number above 0.") == 3
    for text, expected in (("n", Answer(0)), ("0", Answer(0))):
        monkeypatch.setattr("builtins.input", lambda question, text=text: text)
        assert ask_person(5, 10, 0.1) == expected
    monkeypatch.setattr("builtins.input", lambda question: "")
    assert ask_person(5, 10, 0.1) == Answer(None, None)

    def closed(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    assert ask_person(5, 10, 0.1) is None


ASKING = ["--set", "schedule=constant", "--set", "ask_after_epochs=1", "--set", "epochs=3", "--init", "scratch"]


def read_until(terminal: int, words: str, seconds: float = 120) -> str:
    """What the terminal shows until `words` stand in it."""
    shown, end = "", time.monotonic() + seconds
    while words not in shown:
        assert time.monotonic() < end, shown
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


def test_a_person_at_a_terminal_is_asked_and_obeyed(dataset_folder, tmp_path):
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "train.finetune", "--recipe", TINY_RECIPE, "--dataset", dataset_folder]
    process = subprocess.Popen(
        [*map(str, command), "--output", str(tmp_path / "run"), *ASKING], cwd=REPOSITORY, stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )  # fmt: skip
    os.close(theirs)
    read_until(terminal, "1 of 3 epochs are done. Continue?")
    os.write(terminal, b"1\n")
    read_until(terminal, "Learning rate?")
    os.write(terminal, b"1e-4\n")
    read_until(terminal, "2 of 3 epochs are done. Continue?")
    os.write(terminal, b"n\n")
    shown = read_until(terminal, "written:")
    assert process.wait(60) == 0
    assert "stopped after epoch 2: a person asked to stop" in shown
    history = (tmp_path / "run" / "results.json").read_text()
    assert '"learning_rate": 0.0001' in history
    assert not checkpoints_of(partial_of(tmp_path / "run")).exists()
