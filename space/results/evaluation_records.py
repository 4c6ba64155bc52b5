"""What was measured of a model: metrics with intervals, calibration, external tests, checks of what it looks at."""

from collections.abc import Collection

from pydantic import Field
from pydantic.dataclasses import dataclass

from space.results.checked_json import CHECKED
from space.results.training_records import DatasetRecord


@dataclass(**CHECKED)
class Estimate:
    """A value with its 95% bootstrap interval.

    Attributes:
        value, low, high: The value on all images, and the interval's limits.
        n: How many units were resampled.
        unit: What a unit is, in words, such as "patient".
    """

    value: float
    low: float
    high: float
    n: int
    unit: str


Metrics = dict[str, Estimate]  # by the names of `train.evaluation.metrics`
ByRule = dict[str, Metrics]  # {"argmax", and "operating_point" where there is one}


@dataclass(**CHECKED)
class Subgroup:
    """AUROC, accuracy and, for two classes, sensitivity and specificity of a column's images that have one value.

    Attributes:
        images, units: How many there are.
        labels: {label: images}.
        against: Classes that the subgroup lacks; its AUROC is that against all images of these.
    """

    images: int
    units: int
    labels: dict[str, int]
    against: list[str] = Field(default_factory=list)
    argmax: Metrics
    operating_point: Metrics | None = None


@dataclass(**CHECKED)
class HospitalResult:
    """A model that was trained without some hospitals, on development images of one hospital or origin.

    Attributes:
        left_out: The hospitals or origins that training lacked.
        tested_on: The hospital or origin.
        never_seen: Whether it was left out. All its train and validation images then count, else its validation images.
        images: How many there are.
        auroc, sensitivity, specificity: The last two by the rule in use; None where it is not defined.
    """

    left_out: list[str]
    tested_on: str
    never_seen: bool
    images: int
    auroc: Estimate | None = None
    sensitivity: Estimate | None = None
    specificity: Estimate | None = None


@dataclass(**CHECKED)
class HospitalMatrix:
    """Trainings that left different hospitals out, each tested on all.

    Attributes:
        study: The study that made them, of which these are the runs of the base with the first seed.
        recipe, image_size, epochs, seed: What they were trained by.
    """

    study: str
    recipe: str
    image_size: int
    epochs: int
    seed: int
    results: list[HospitalResult]


@dataclass(**CHECKED)
class CalibrationMeasures:
    """How well probabilities fit outcomes: NLL in nats, Brier score, expected calibration error."""

    nll: float
    brier: float
    ece: float


@dataclass(**CHECKED)
class SplitCalibration:
    """Calibration on the images of one split.

    Attributes:
        before, after: Of the network's own probabilities, and of the finished model's.
        prevalence, mean_probability: {label: share in [0, 1]}.
        bins: [n, k] of bins of equal width: n images had such a probability, of k it was true.
    """

    before: CalibrationMeasures
    after: CalibrationMeasures
    prevalence: dict[str, float]
    mean_probability: dict[str, float] = Field(default_factory=dict)
    bins: list[tuple[int, int]] = Field(default_factory=list)


@dataclass(**CHECKED)
class CalibrationRecord:
    """What was folded into the last layer.

    Attributes:
        temperature: 1 where none was fitted.
        biases: {label: bias}.
        fitted_on: The split.
        not_fitted: Why no temperature was fitted though the recipe asks for one, in a sentence; "" if it was.
        splits: {split: calibration there}.
    """

    temperature: float
    biases: dict[str, float] = Field(default_factory=dict)
    fitted_on: str
    not_fitted: str = ""
    splits: dict[str, SplitCalibration]


@dataclass(**CHECKED)
class Shift:
    """A metric whose intervals on validation and on test do not overlap; `worse`: test is the worse of the two."""

    rule: str
    metric: str
    validation: float
    test: float
    worse: bool


@dataclass(**CHECKED)
class Evaluation:
    """What the answers to some splits are worth.

    Attributes:
        splits: {split: {rule: {metric: estimate}}}.
        classes: {split: {rule: {label: {metric: estimate}}}}, each class against the rest.
        confusion: {split: {rule: K x K counts}}, a row per true class.
        subgroups: {split: {column: {value: subgroup}}}.
        shift: Where validation and test differ.
    """

    splits: dict[str, ByRule]
    classes: dict[str, dict[str, dict[str, Metrics]]] = Field(default_factory=dict)
    confusion: dict[str, dict[str, list[list[int]]]] = Field(default_factory=dict)
    subgroups: dict[str, dict[str, dict[str, Subgroup]]] = Field(default_factory=dict)
    calibration: CalibrationRecord
    shift: list[Shift] = Field(default_factory=list)

    def by_origin(self, split: str, keep: Collection[str] = ()) -> dict[str, Subgroup]:
        """The subgroups of origins, and of hospitals that are more than one of these origins or are named in `keep`."""
        columns = self.subgroups.get(split, {})
        origins = columns.get("origin", {})
        hospitals = {
            name: group
            for name, group in columns.get("hospital", {}).items()
            if name not in origins and (group not in origins.values() or name in keep)
        }
        return origins | hospitals


@dataclass(**CHECKED)
class RegionEnergy:
    """How much of the energy of class activation maps lies in a region of each image, such as the lungs.

    Attributes:
        images, empty: Images with such a region whose map is not empty, and those whose map is.
        labels: {label: images with such a region}.
        inside: Share of the energy that lies in the region; this and the others are None where every map is empty.
        area: Share of the image that the region covers.
        shuffled: Share of other patients' maps in the same region.
        gain: `inside` - `shuffled`, paired.
        over_area: `inside` - `area`, paired; None in results of earlier versions.
    """

    images: int
    empty: int
    labels: dict[str, int] = Field(default_factory=dict)
    inside: Estimate | None = None
    area: Estimate | None = None
    shuffled: Estimate | None = None
    gain: Estimate | None = None
    over_area: Estimate | None = None


@dataclass(**CHECKED)
class ExternalTest:
    """The model on another dataset.

    Attributes:
        labels: {its class: the model's class, or None where its images are left out}.
        absent: Classes of the model that none of its images has; metrics that compare classes are left out then.
        compared: Splits of the model's own dataset of which it holds no copy.
        dropped: Images left out because they, or others of their patients, are copies of these.
        rules, classes, confusion, calibration: As `Evaluation` has them for one split.
        drop: {rule: {metric: the value on the model's own test split minus the value here}}.
        box_energy: None where the dataset has no boxes.
    """

    dataset: DatasetRecord
    labels: dict[str, str | None]
    images: int
    absent: list[str] = Field(default_factory=list)
    compared: list[str] = Field(default_factory=lambda: ["train", "validation"])
    dropped: int = 0
    rules: ByRule
    classes: dict[str, dict[str, Metrics]] = Field(default_factory=dict)
    confusion: dict[str, list[list[int]]] = Field(default_factory=dict)
    calibration: SplitCalibration
    drop: dict[str, dict[str, float]]
    box_energy: RegionEnergy | None = None


@dataclass(**CHECKED)
class RandomisedStage:
    """Rank correlation of maps before and after the network's weights down to a stage were replaced by random ones."""

    stage: str
    correlation: Estimate


@dataclass(**CHECKED)
class DeletionTest:
    """How much an answer changes when the hottest part of its map is hidden, and when other areas of that size are.

    An answer's lead is the logit of the most likely class minus the largest other logit.

    Attributes:
        method: "blur", or "fill" with the mean of the rest.
        others: Where the other areas lie: "anywhere", or in the "lungs".
        images, empty: Images that were tried, and those left out because their map is empty or the same everywhere.
        lead: Mean lead of the whole images.
        hottest: Mean by which the lead falls when the hottest part is hidden.
        other: The same for other areas.
        difference: `hottest` - `other`, paired.
    """

    method: str
    others: str
    images: int
    empty: int
    lead: Estimate
    hottest: Estimate
    other: Estimate
    difference: Estimate


@dataclass(**CHECKED)
class Saliency:
    """The checks of class activation maps.

    Attributes:
        lung_energy: None where the images have no lung masks.
        randomisation: A stage after the other, the head first.
        deletion: Empty where every map is empty, and in results of earlier versions.
        box_energy: None where the images have no boxes.
    """

    lung_energy: RegionEnergy | None
    randomisation: list[RandomisedStage]
    deletion: list[DeletionTest] = Field(default_factory=list)
    box_energy: RegionEnergy | None = None

    @property
    def hottest_counts_more(self) -> bool | None:
        """Whether hiding the hottest part changes answers more than hiding other areas, by every deletion test.

        None where there is no such test. An interval that reaches 0 does not show it.
        """
        return all(test.difference.low > 0 for test in self.deletion) if self.deletion else None


@dataclass(**CHECKED)
class ShortcutControl:
    """Accuracy and AUROC at argmax on images with a part removed, and on the same images as they are."""

    images: int
    changed: Metrics
    unchanged: Metrics


@dataclass(**CHECKED)
class SwapTest:
    """AUROC on images made of the lungs of one image and the surroundings of another, of any class.

    Attributes:
        images: Those that gave lungs; each gave them to a donor of each class.
        pairs: The images that were made.
        own_masks: Of `images`, those whose lung mask is the dataset's own. The others' is a network's.
        unchanged: AUROC of the same images as they are.
        lungs, surroundings: AUROC of the pairs, for the label of the lungs and for that of the surroundings.
    """

    images: int
    pairs: int
    own_masks: int
    unchanged: Estimate
    lungs: Estimate
    surroundings: Estimate


@dataclass(**CHECKED)
class GuardRecord:
    """The guard's threshold, and the share of each split's images that it lets pass."""

    threshold: float
    accepted: dict[str, float]
