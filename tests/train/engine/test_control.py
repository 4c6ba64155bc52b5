import pytest

from tests.train.engine.fixtures import small_recipe
from train.engine.control import Control
from train.engine.dialogue import Answer


def rows(*values: float, name: str = "validation_auroc"):
    return [{name: value} for value in values]


def judge(control: Control, values, name="validation_auroc"):
    return [control.after_epoch(row) for row in rows(*values, name=name)]


def test_the_latest_epoch_within_the_tolerance_of_the_best_is_kept():
    control = Control(small_recipe("selection_tolerance=0.01"))
    assert [decision.keep for decision in judge(control, [0.8, 0.9, 0.895, 0.88, 0.901])] == [
        True, True, True, False, True,
    ]  # fmt: skip


def test_of_losses_the_lowest_is_best():
    control = Control(small_recipe("selection=loss"))
    decisions = judge(control, [0.5, 0.4, 0.45], "validation_loss")
    assert [decision.keep for decision in decisions] == [True, True, False]


def test_a_plateau_lowers_the_learning_rate_down_to_its_minimum():
    recipe = small_recipe(
        "schedule=plateau", "plateau_epochs=2", "plateau_factor=0.1", "learning_rate=0.1",
        "minimum_learning_rate=0.005", "plateau_rollback=true",
    )  # fmt: skip
    control = Control(recipe)
    decisions = judge(control, [0.5, 0.6, 0.55, 0.55, 0.7, 0.6, 0.6, 0.6, 0.6])
    assert [index for index, decision in enumerate(decisions) if decision.notes] == [3, 6]
    assert [decision.rollback for decision in decisions] == [index in (3, 6) for index in range(9)]
    assert 0.1 * control.state.rate_scale == pytest.approx(0.005)
    assert "learning rate is now 0.01" in decisions[3].notes[0]


def test_training_stops_early_only_after_so_many_epochs_without_a_better_one():
    control = Control(small_recipe("early_stopping_epochs=3"))
    for score in (0.7, 0.6, 0.6):
        assert not control.after_epoch(rows(score)[0]).notes
    assert control.after_epoch(rows(0.6)[0]).notes == [f"stopped after epoch 4: {control.state.stopped}"]
    assert "for 3 epochs" in control.state.stopped


def asking(*answers, **changes):
    given = iter(answers)
    asked = []

    def ask(*facts):
        asked.append(facts)
        return next(given)

    settings = ["schedule=constant", "ask_after_epochs=2", "epochs=4", "learning_rate=0.1"]
    return Control(small_recipe(*settings), ask), asked


def train_on(control: Control, epochs: int) -> None:
    for row in rows(*[0.5] * epochs):
        control.after_epoch(row)
        control.ask_if_due()


def test_an_answer_decides_how_long_and_how_fast_training_goes_on():
    control, asked = asking(Answer(3, 0.05), Answer(0))
    train_on(control, 2)
    assert asked == [(2, 4, 0.1)]
    assert (control.state.epochs, control.state.stopped) == (5, "")
    assert 0.1 * control.state.rate_scale == pytest.approx(0.05)
    train_on(control, 3)
    assert asked[1:] == [(5, 5, pytest.approx(0.05))]
    assert control.state.stopped


def test_whoever_goes_on_to_the_end_is_not_asked_again():
    control, asked = asking(Answer(None))
    train_on(control, 4)
    assert len(asked) == 1
    assert not control.state.stopped


@pytest.mark.parametrize(("default", "stopped"), [("continue", False), ("stop", True)])
def test_without_a_terminal_the_recipe_answers(default, stopped):
    control = Control(small_recipe("schedule=constant", "ask_after_epochs=2", f"ask_default={default}"))
    train_on(control, 2)
    assert bool(control.state.stopped) is stopped
    assert "nobody could be asked" in control.state.stopped or not stopped
    gone, _ = asking(None)  # there was a terminal, but nobody may be asked there any more
    train_on(gone, 4)
    assert not gone.state.stopped
