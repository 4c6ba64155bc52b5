"""The deletion test, on networks whose answer depends on a known part of the image."""

import numpy as np
import pytest
import torch
from torch import nn

from space.results.evaluation_records import DeletionTest, Saliency
from tests.train.evaluation.fixtures import NORMALISE, SIZE, Looker, explained, lungs
from train.attention.deletion import deletion_tests
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.saliency_checks import explain_all

N = 40
UNITS = BootstrapClusters.of([f"p{i // 2}" for i in range(N)])
EVERYWHERE = torch.ones(8, 8)


class Misplaced(Looker):
    """Answers as `Looker` does, but its map shows each part of the image at another place."""

    def __init__(self, order: torch.Tensor):
        super().__init__(EVERYWHERE, 0.2)
        self.order = order

    def forward_features(self, pixel_values):
        features = super().forward_features(pixel_values)
        return features.flatten(2)[:, :, self.order].unflatten(2, features.shape[2:])


class Flat(Looker):
    """Answers as `Looker` does, with a map that is the same everywhere."""

    def forward_features(self, pixel_values):
        features = super().forward_features(pixel_values)
        return features.mean(dim=(2, 3), keepdim=True).expand_as(features)


def spots() -> np.ndarray:
    """Dark noise with a bright spot of a fifth of the image, on the left or on the right."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 40, (N, SIZE, SIZE)).astype(np.uint8)
    for image in pixels:
        top, left = random.integers(4, 14), random.choice([1, 17])
        image[top : top + 14, left : left + 14] += 180
    return pixels


def run(model: nn.Module, pixels: np.ndarray, lung: np.ndarray | None = None) -> dict[str, DeletionTest]:
    """{method: test}."""
    return {test.method: test for test in deletion_tests(explained(model), pixels, NORMALISE, UNITS, lung)}


def test_hiding_what_the_answer_depends_on_wins():
    tests = run(Looker(EVERYWHERE, 0.2), spots())
    assert tests.keys() == {"blur", "fill"}
    for test in tests.values():
        assert test.hottest.low > 2 * test.other.high > 0
        assert test.difference.low > 0
        assert test.difference.value == pytest.approx(test.hottest.value - test.other.value)
        assert (test.images, test.empty, test.others, test.difference.n) == (N, 0, "anywhere", N // 2)


@pytest.mark.parametrize(
    "order",
    [
        torch.arange(64).reshape(8, 8).flip(1).flatten(),
        torch.randperm(64, generator=torch.Generator().manual_seed(0)),
    ],
    ids=["mirrored", "shuffled"],
)
def test_a_map_that_points_elsewhere_does_not_win(order):
    for test in run(Misplaced(order), spots()).values():
        assert test.difference.low < 0


def test_without_a_bright_region_there_is_no_test():
    assert run(Flat(EVERYWHERE, 0.2), spots()) == {}
    pixels = spots()
    pixels[:4] = 0
    tests = run(Looker(EVERYWHERE, 0.2), pixels)
    assert {(test.images, test.empty) for test in tests.values()} == {(N - 4, 4)}


def test_other_areas_lie_in_the_lungs_where_these_are_known():
    lung = lungs(N)
    pixels = np.where(lung, 200, 20).astype(np.uint8)  # the answer depends on all of the lungs, and on nothing else
    model = Looker(EVERYWHERE, 0.2)
    anywhere, inside = run(model, pixels)["fill"], run(model, pixels, lung)["fill"]
    assert (anywhere.others, inside.others) == ("anywhere", "lungs")
    assert anywhere.hottest == inside.hottest
    assert anywhere.difference.value > 0.5 * anywhere.hottest.value
    assert inside.difference.value < 0.1 * inside.hottest.value
    small = np.zeros_like(lung)
    small[:, 8:10, 8:10] = True  # less than a fifth of the image
    assert run(model, pixels, small)["fill"].other.value > 0


def test_the_lead_is_over_the_strongest_other_class():
    model = Looker(EVERYWHERE, 0.2)
    model.head = nn.Linear(1, 3)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[20.0], [10.0], [5.0]]))
        model.head.bias.copy_(torch.tensor([-8.0, -3.0, 0.0]))
    pixels = np.random.default_rng(1).integers(0, 256, (N, SIZE, SIZE), dtype=np.uint8)
    logits = np.sort(explain_all(explained(model), pixels, NORMALISE)[0].numpy(), axis=1)
    lead = run(model, pixels)["blur"].lead
    assert lead.value == pytest.approx((logits[:, -1] - logits[:, -2]).mean(), rel=1e-5)


def test_the_verdict_needs_every_test():
    won, lost = (run(Looker(EVERYWHERE, 0.2), spots()), run(Misplaced(torch.arange(63, -1, -1)), spots()))

    def verdict(*tests: DeletionTest) -> bool | None:
        return Saliency(lung_energy=None, randomisation=[], deletion=list(tests)).hottest_counts_more

    assert verdict(*won.values()) is True
    assert verdict(*won.values(), lost["blur"]) is False
    assert verdict() is None
