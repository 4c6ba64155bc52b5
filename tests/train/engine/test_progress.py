import io
import re
from contextlib import redirect_stderr

import pytest
import torch

from train.engine.progress import Progress


def losses_shown(steps: int) -> list[str]:
    """The losses that a bar shows over some steps, whose losses are 1, 2, 3 and so on."""
    text = io.StringIO()
    with redirect_stderr(text), Progress(0, steps, visible=True) as progress:
        progress.bar.mininterval = 0
        for step in range(steps):
            progress.step(torch.tensor(float(step + 1)))
    return list(dict.fromkeys(re.findall(r"loss=([\d.]+)", text.getvalue())))


def test_the_loss_moves_within_an_epoch_and_is_a_running_mean():
    # After steps 1, 6, 11 and so on: the mean of the last 20.
    assert losses_shown(41) == ["1.000", "3.500", "6.000", "8.500", "11.500", "16.500", "21.500", "26.500", "31.500"]


def test_an_epoch_is_a_line_and_its_kept_metric_stays_on_the_bar(capsys):
    row = {"epoch": 1, "train_loss": 0.5, "validation_loss": 0.4, "robust_auroc": 0.8, "validation_auroc": 0.9}
    row["seconds"] = 12.3
    with Progress(0, 10, visible=True) as progress:
        progress.epoch(row, "robust_auroc", row, 20)
        progress.epoch(row | {"epoch": 2}, "robust_auroc", row, 20)
        assert progress.bar.total == 20
    printed = capsys.readouterr()
    lines = printed.out.split("\n")
    expected = "train loss 0.5000, validation loss 0.4000, validation auroc 0.9000, robust auroc 0.8000, 12 s"
    assert f"epoch 1: {expected} (kept)" in lines
    assert f"epoch 2: {expected}" in lines
    assert "robust_auroc=0.8000" in printed.err


def test_other_processes_show_nothing_and_read_no_loss(capsys):
    class Unreadable:
        """A loss that must not be read: reading waits for the device."""

    with Progress(0, 10, visible=False) as progress:
        for _ in range(10):
            progress.step(Unreadable())
        progress.note("nothing")
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.parametrize("done", [0, 7])
def test_a_resumed_bar_starts_where_the_run_was(done, capsys):
    with Progress(done, 10, visible=True) as progress:
        assert progress.bar.n == done
    assert f"{done}/10" in capsys.readouterr().err
