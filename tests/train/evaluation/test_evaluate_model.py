"""Evaluation of a finished model: subgroups, calibration, what does not hold on test, what maps and shortcuts tell."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from sklearn import metrics as sk
from torch import nn

from space.inference.operating_point import OperatingPoint
from train.data.lung_masks import MaskedImages, masked_images
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec, SplitPredictions, evaluate, units_of
from train.evaluation.inference import predict_logits
from train.evaluation.metrics import BootstrapClusters
from train.evaluation.occlusion_controls import fill, shortcut_controls
from train.evaluation.saliency_checks import lung_energy, weight_randomisation

SIZE = 32
NORMALISE = Normaliser(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), torch.device("cpu"))
LABELS = ["NORMAL", "PNEUMONIA"]


def task(point: OperatingPoint | None = None, temperature: float = 1.0) -> DecisionSpec:
    return DecisionSpec(LABELS, 1, point, Calibration(temperature, np.zeros(2)))


def answers(seed: int, n: int = 200, shift: float = 0.0, columns: dict | None = None) -> SplitPredictions:
    random = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    scores = random.normal(0, 1.5, n) + 2 * truth - 1 + shift
    logits = np.stack([np.zeros(n), scores], axis=1)
    return SplitPredictions(truth, logits, BootstrapClusters.of([f"p{i // 2}" for i in range(n)]), columns or {})


class Looker(nn.Module):
    """SplitPredictions by the brightness of one part of the image: `where` (h, w) weights of a (h, w) feature map."""

    def __init__(self, where: torch.Tensor, threshold: float = 0.5):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(where.shape)
        self.register_buffer("where", where)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[-20.0], [20.0]]))
            self.head.bias.copy_(20 * threshold * torch.tensor([1.0, -1.0]))

    def forward_features(self, pixel_values):
        return self.pool(pixel_values[:, :1]) * self.where

    def forward_head(self, features):
        return self.head(features.sum(dim=(2, 3)) / self.where.sum())

    def forward(self, pixel_values):
        class Output:
            logits = self.forward_head(self.forward_features(pixel_values))

        return Output


def lungs(n: int) -> np.ndarray:
    """(n, 32, 32) bool: the upper or the lower half of the inner part, in turn."""
    masks = np.zeros((n, SIZE, SIZE), dtype=bool)
    masks[::2, 4:16, 4:-4] = True
    masks[1::2, 16:28, 4:-4] = True
    return masks


def masked(pixels: np.ndarray, lung: np.ndarray) -> MaskedImages:
    return MaskedImages(np.arange(len(pixels)), pixels, lung, np.ones_like(lung))


def test_subgroups_are_judged_alone_and_small_ones_left_out():
    subtype = [None if i % 2 == 0 else "virus" if i % 4 == 1 else "bacteria" for i in range(200)]
    view = ["AP" if i < 195 else "PA" for i in range(200)]
    one = answers(0, columns={"subtype": subtype, "view": view})
    found = evaluate(task(), {"test": one})["subgroups"]["test"]
    assert set(found) == {"subtype", "view"}
    assert set(found["view"]) == {"AP"}
    virus = np.array([value == "virus" for value in subtype])
    decided = one.probabilities.argmax(axis=1)
    assert found["subtype"]["virus"]["argmax"]["accuracy"]["value"] == np.mean(decided[virus] == 1)
    assert found["subtype"]["virus"]["labels"] == {"NORMAL": 0, "PNEUMONIA": 50}
    assert found["subtype"]["virus"]["against"] == ["NORMAL"]
    rows = virus | (one.truth == 0)
    against_normal = sk.roc_auc_score(one.truth[rows], one.probabilities[rows, 1])
    assert found["subtype"]["virus"]["argmax"]["auroc"]["value"] == against_normal
    everyone = found["view"]["AP"]["argmax"]["auroc"]
    assert everyone["value"] == sk.roc_auc_score(one.truth[:195], one.probabilities[:195, 1])
    assert everyone["low"] < everyone["value"] < everyone["high"]


def test_a_subgroup_that_is_a_class_is_left_out():
    subtype = ["none" if i % 2 == 0 else "virus" for i in range(200)]
    assert not evaluate(task(), {"test": answers(0, columns={"subtype": subtype})})["subgroups"]


def test_confusion_counts_every_rule():
    point = OperatingPoint("youden", "PNEUMONIA", 0.2)
    one = answers(0)
    found = evaluate(task(point), {"test": one})["confusion"]["test"]
    called = one.probabilities[:, 1] >= 0.2
    assert found["operating_point"] == sk.confusion_matrix(one.truth, called).tolist()
    assert found["argmax"] == sk.confusion_matrix(one.truth, one.probabilities.argmax(axis=1)).tolist()


def test_calibration_is_told_before_and_after_with_prevalence():
    one = answers(1)
    found = evaluate(task(temperature=2.0), {"validation": one})["calibration"]
    assert found["temperature"] == 2.0
    before, after = (found["splits"]["validation"][key] for key in ("before", "after"))
    assert before["nll"] == pytest.approx(sk.log_loss(one.truth, softmax(one.logits * 2, axis=1)))
    assert after["brier"] == pytest.approx(sk.brier_score_loss(one.truth, one.probabilities[:, 1]))
    bins = found["splits"]["validation"]["bins"]
    assert (len(bins), sum(n for n, _ in bins)) == (15, len(one.truth))
    last = one.probabilities[:, 1] >= 14 / 15
    assert bins[-1] == [last.sum(), one.truth[last].sum()]
    mean = found["splits"]["validation"]["mean_probability"]
    assert mean == pytest.approx(dict(zip(("NORMAL", "PNEUMONIA"), one.probabilities.mean(axis=0), strict=True)))
    assert found["splits"]["validation"]["prevalence"] == {"NORMAL": 0.5, "PNEUMONIA": 0.5}


def test_a_threshold_that_does_not_hold_on_test_is_named():
    point = OperatingPoint("youden", "PNEUMONIA", 0.5)
    same = evaluate(task(point), {"validation": answers(2), "test": answers(3)})
    moved = evaluate(task(point), {"validation": answers(2), "test": answers(3, shift=2.0)})
    assert same["shift"] == []
    named = {found["metric"]: found for found in moved["shift"]}
    assert named["specificity"]["rule"] == "operating_point"
    assert named["specificity"]["test"] < named["specificity"]["validation"]
    assert named["specificity"]["test"] == moved["splits"]["test"]["operating_point"]["specificity"]["value"]


def test_units_are_groups_of_copies_where_patients_are_unknown():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 8, 8), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    images[4] = images[1]
    units = units_of([None] * 6, PixelDataset(images, np.zeros(6)))
    assert (len(units), units.name) == (5, "group of copies")
    assert len(units_of(["a", "a", None, None, None, None], PixelDataset(images, np.zeros(6)))) == 5


def test_masks_are_read_at_the_models_size_with_their_ignored_part():
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[:32], mask[32:48] = 255, 127
    features = Features({"label": Value("int64"), "lung_mask": ImageFeature()})
    rows = [{"label": 0, "lung_mask": None}, {"label": 1, "lung_mask": Image.fromarray(mask)}]
    split = Dataset.from_list(rows, features=features)
    pixels = PixelDataset(np.zeros((2, SIZE, SIZE), dtype=np.uint8), np.array([0, 1]))
    found = masked_images(pixels, split)
    assert found.rows.tolist() == [1]
    assert found.lung[0].sum() == SIZE * SIZE // 2
    assert (~found.counted[0]).sum() == SIZE * SIZE // 4
    assert masked_images(pixels, split.remove_columns("lung_mask")) is None


def test_a_map_that_always_shows_the_middle_gains_nothing_over_other_patients_maps():
    pixels = np.full((40, SIZE, SIZE), 200, dtype=np.uint8)
    centre = torch.zeros(8, 8)
    centre[3:5, 3:5] = 1
    units = BootstrapClusters.of([f"p{i}" for i in range(40)])
    found = lung_energy(Looker(centre).eval(), masked(pixels, lungs(40)), NORMALISE, units)
    assert found["gain"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["inside"]["value"] > found["area"]["value"]  # and still it seems to look at the lungs


def test_a_map_that_follows_the_lungs_wins_over_other_patients_maps():
    lung = lungs(40)
    pixels = (lung * 200).astype(np.uint8)  # bright lungs: the map of a network that sees brightness follows them
    units = BootstrapClusters.of([f"p{i}" for i in range(40)])
    found = lung_energy(Looker(torch.ones(8, 8), 0.1).eval(), masked(pixels, lung), NORMALISE, units)
    assert found["gain"]["low"] > 0.2
    assert found["inside"]["value"] > 0.85
    assert (found["images"], found["gain"]["n"]) == (40, 40)


def test_ignored_pixels_count_neither_way_and_empty_maps_are_left_out():
    lung, pixels = lungs(10), np.full((10, SIZE, SIZE), 200, dtype=np.uint8)
    pixels[0] = 0  # nothing to see: an empty map
    images = MaskedImages(np.arange(10), pixels, lung, lung)  # all outside the lungs is to be ignored
    found = lung_energy(Looker(torch.ones(8, 8)).eval(), images, NORMALISE, BootstrapClusters.of([None] * 10))
    assert found["inside"]["value"] == pytest.approx(1)
    assert (found["images"], found["empty"]) == (9, 1)
    images = MaskedImages(np.arange(10), np.zeros_like(pixels), lung, lung)
    dark = lung_energy(Looker(torch.ones(8, 8)).eval(), images, NORMALISE, BootstrapClusters.of([None] * 10))
    assert dark == {"images": 0, "empty": 10}


def test_randomised_weights_change_the_maps_from_the_head_down_and_leave_the_model_alone():
    from tests.train.engine.fixtures import small_model

    torch.manual_seed(1)
    model = small_model().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE), dtype=np.uint8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = weight_randomisation(model, pixels, NORMALISE, BootstrapClusters.of([None] * 20))
    assert found[0]["stage"].startswith("head")
    assert len(found) >= 3
    assert all(-1 <= one["correlation"]["value"] <= 1 for one in found)
    assert abs(found[-1]["correlation"]["value"]) < 0.9
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert found == weight_randomisation(model, pixels, NORMALISE, BootstrapClusters.of([None] * 20))


def test_a_model_that_reads_the_frame_is_found_out_and_one_that_reads_the_lungs_is_not():
    random, labels = np.random.default_rng(0), np.arange(60) % 2
    lung = lungs(60)
    frame = torch.zeros(8, 8)
    frame[0] = 1
    units = BootstrapClusters.of([None] * 60)

    def control(name: str, bright: np.ndarray, where: torch.Tensor) -> dict:
        noise = random.integers(60, 120, (60, SIZE, SIZE))
        pixels = np.where(bright & (labels == 1)[:, None, None], 220, noise).astype(np.uint8)
        test = PixelDataset(pixels, labels)
        model = Looker(where).eval()
        answered = SplitPredictions(labels, predict_logits(model, test, NORMALISE), units, {})
        return shortcut_controls(model, test, masked(pixels, lung), NORMALISE, answered)[name]

    top = np.zeros_like(lung)
    top[:, :3] = True
    cheat = control("lungs_removed", top, frame)
    assert cheat["unchanged"]["auroc"]["value"] == cheat["changed"]["auroc"]["value"] == 1
    assert control("frame_only", top, frame)["changed"]["auroc"]["low"] > 0.5
    honest = control("lungs_removed", lung, torch.ones(8, 8))
    assert honest["unchanged"]["auroc"]["value"] == 1
    assert honest["changed"]["auroc"]["low"] < 0.6
    assert control("lungs_only", lung, torch.ones(8, 8))["changed"]["auroc"]["value"] == 1
    assert honest["images"] == 60


def test_what_is_removed_is_filled_with_the_mean_of_the_rest():
    pixels = np.array([[[10, 30], [200, 100]]], dtype=np.uint8)
    keep = np.array([[[True, True], [False, False]]])
    assert fill(pixels, keep).tolist() == [[[10, 30], [20, 20]]]
