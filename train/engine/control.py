"""What happens after an epoch: keep its weights, lower the learning rate, stop, or ask."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from train.config.recipe import ControlRecipe, Recipe
from train.engine.dialogue import Answer

# An epoch's row of the history, as `space.results.training_records.EpochRecord` has it.
Row = dict[str, float | dict[str, float]]
# The column of the history that a recipe's `selection` names, and whether more of it is better.
METRICS = {
    "auroc": ("validation_auroc", 1),
    "robust-auroc": ("robust_auroc", 1),
    "worst-origin-auroc": ("worst_origin_auroc", 1),
    "accuracy": ("validation_accuracy", 1),
    "loss": ("validation_loss", -1),
}


@dataclass
class ControlState:
    """What a checkpoint has to remember; plain numbers.

    Attributes:
        epochs: Epochs after which training ends.
        rate_scale: What the recipe's learning rate is multiplied by.
        scores: The selection metric of every epoch, higher being better.
        stale: Epochs since the metric improved or the learning rate was lowered.
        ask_at: Epochs after which the next question is asked; 0: never.
        stopped: Why training ended early; "" if it did not.
    """

    epochs: int
    ask_at: int
    rate_scale: float = 1.0
    scores: list[float] = field(default_factory=list)
    stale: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do after an epoch.

    Attributes:
        keep: Whether its weights are the ones to keep.
        rollback: Whether to load the kept weights again.
        notes: Sentences for the log.
    """

    keep: bool
    rollback: bool
    notes: list[str]


class Control:
    """Follows a recipe's `control` section.

    Args:
        recipe: The recipe.
        ask: Asks a person (see `ask_person`). If it is None, or answers None, nobody can be asked, and `ask_default`
            holds.
    """

    def __init__(self, recipe: Recipe, ask: Callable[[int, int, float], Answer | None] | None = None):
        self.recipe: ControlRecipe = recipe.control
        self.training = recipe.training
        self.ask = ask
        self.state = ControlState(recipe.training.epochs, recipe.control.ask_after_epochs)

    @property
    def metric(self) -> str:
        """The column of the history that chooses the weights."""
        return METRICS[self.recipe.selection][0]

    def after_epoch(self, row: Row) -> Decision:
        """Judge an epoch by its row of the history."""
        state, recipe = self.state, self.recipe
        column, sign = METRICS[recipe.selection]
        state.scores.append(sign * row[column])
        keep = state.scores[-1] >= max(state.scores) - recipe.selection_tolerance
        notes: list[str] = []
        rollback = self._lower_on_plateau(notes)
        stale = len(state.scores) - 1 - state.scores.index(max(state.scores))
        if recipe.early_stopping_epochs and stale >= recipe.early_stopping_epochs:
            state.stopped = f"{column} has not improved for {stale} epochs"
            notes.append(f"stopped after epoch {len(state.scores)}: {state.stopped}")
        return Decision(keep, rollback and not keep, notes)

    def _lower_on_plateau(self, notes: list[str]) -> bool:
        """Lower the learning rate if the metric has stopped improving; returns whether to roll back."""
        state, recipe, rate = self.state, self.recipe, self.training.learning_rate
        state.stale = 0 if state.scores[-1] > max(state.scores[:-1], default=-math.inf) else state.stale + 1
        if self.training.schedule != "plateau" or state.stale < recipe.plateau_epochs:
            return False
        state.stale = 0
        lowered = max(state.rate_scale * recipe.plateau_factor, recipe.minimum_learning_rate / rate)
        if lowered >= state.rate_scale:
            return False
        state.rate_scale = lowered
        back = ", and training continues from the kept weights" if recipe.plateau_rollback else ""
        notes.append(f"{self.metric} has stopped improving: the learning rate is now {rate * lowered:.3g}{back}")
        return recipe.plateau_rollback

    def ask_if_due(self) -> bool:
        """Ask whether to continue, if it is time to; returns whether it was."""
        state, done = self.state, len(self.state.scores)
        if state.stopped or not state.ask_at or done < state.ask_at:
            return False
        rate = self.training.learning_rate * state.rate_scale
        answer = self.ask(done, state.epochs, rate) if self.ask else None
        default = Answer(0 if self.recipe.ask_default == "stop" else None)
        self._obey(answer or default, done)
        if state.stopped and not answer:
            state.stopped = 'nobody could be asked whether to continue, and the recipe says ask_default = "stop"'
        return True

    def _obey(self, answer: Answer, done: int) -> None:
        state = self.state
        if answer.epochs == 0:
            state.stopped = "a person asked to stop"
            return
        state.ask_at = done + answer.epochs if answer.epochs else 0
        state.epochs = max(state.epochs, state.ask_at)
        if answer.learning_rate is not None:
            state.rate_scale = answer.learning_rate / self.training.learning_rate
