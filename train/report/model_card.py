"""The model's card, README.md, and EVALUATION.md beside it: prose in the templates, every number from results.json.

python -m train.report.model_card RUN                                  renders both files of a run folder again
python -m train.report.model_card RUN --hospitals hospitals.json       puts a study's matrix of hospitals on them
"""

from dataclasses import replace
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from space.errors import CommandParser, run_cli
from space.results.checked_json import read_json
from space.results.evaluation_records import HospitalMatrix, Metrics
from space.results.results_file import Results, read_results, write_results
from space.results.training_records import DatasetRecord
from train.common.atomic_output import write_text_whole
from train.common.templates import render_template
from train.data.origins import HOSPITAL, LEFT_OUT, ORIGIN
from train.evaluation.metrics import CLASS_METRICS, METRICS, Metric
from train.models.pretrained import KNOWN_FILES
from train.report.hospitals import matrix_tables, unseen_hospitals

CONTROL_NAMES = {
    "lungs_removed": "the lungs",
    "lung_box_removed": "a box around the lungs",
    "lungs_only": "all but the lungs",
    "frame_only": "all but the outer tenth on each side",
}
WITHOUT_LUNGS = ("lungs_removed", "lung_box_removed", "frame_only")
ABOUT_NAMES = {
    "population": "population",
    "acquisition": "acquisition",
    "exclusion": "exclusion",
    "reference": "reference standard for the classes",
}
CHANCE = 0.5  # AUROC
ORIGIN_COLUMNS = (ORIGIN, HOSPITAL)
TEMPLATES = Path(__file__).parent / "templates"


def write_cards(folder: Path, results: Results) -> None:
    """Write README.md and EVALUATION.md of a run folder.

    Args:
        folder: The run folder.
        results: What its results.json holds.
    """
    write_text_whole(folder / "README.md", render_card(results))
    write_text_whole(folder / "EVALUATION.md", render_evaluation(results))


def render_card(results: Results) -> str:
    """Render README.md: front matter for the Hub, what a reader needs first, how to use the model."""
    front_matter = _front_matter(results).to_yaml()
    return render_template(TEMPLATES / "model_card.md.jinja", front_matter=front_matter, **_values(results))


def render_evaluation(results: Results) -> str:
    """Render EVALUATION.md: every result, how the model was trained, and the reporting checklist."""
    return render_template(TEMPLATES / "evaluation.md.jinja", **_values(results))


def _values(results: Results) -> dict:
    """What both templates read: the results, and what follows from them."""
    controls = results.shortcuts or {}
    changed = {name: controls[name].changed.get("auroc") for name in WITHOUT_LUNGS if name in controls}
    metric = results.selection.metric
    home = "test" if "test" in results.splits else "validation"
    telltales = {name: auroc.value for name, auroc in changed.items() if auroc and auroc.low > CHANCE}
    return vars(results) | {
        "home": home,
        "left_out": results.recipe.left_out,
        "selected_by": "AUROC of the worst origin" if metric == "worst_origin_auroc" else _in_words(metric),
        "by_origin": _by_origin(results),
        "unseen_hospitals": unseen_hospitals(results.hospitals.results) if results.hospitals else [],
        "worst_origin": _worst_origin(results, home),
        "matrices": matrix_tables(results.hospitals),
        "compared_origins": list(results.history[-1].origin_auroc),
        "other_subgroups": {
            column: groups for column, groups in results.subgroups.get(home, {}).items() if column not in ORIGIN_COLUMNS
        },
        "positive": results.positive_label,
        "about_start": KNOWN_FILES.get(results.init_sha256, ""),
        "about": results.dataset.audit.about if results.dataset.audit else {},
        "telltales": list(telltales),
        "telltale": max(telltales, key=telltales.get, default=None),
        "metric_names": {name: metric.title for name, metric in _shown_metrics(results).items()},
        "class_metric_names": {name: metric.title for name, metric in CLASS_METRICS.items()},
        "control_names": CONTROL_NAMES,
        "about_names": ABOUT_NAMES,
    }


def _in_words(metric: str) -> str:
    return metric.replace("_", " ").replace("auroc", "AUROC")


def _by_origin(results: Results) -> list[dict]:
    """The rows of the table by origin: test first, then development data; hospitals of more than one origin too."""
    never_seen = {*results.recipe.left_out, *results.subgroups.get(LEFT_OUT, {}).get(ORIGIN, {})}
    return [
        {"split": split, "name": name, "group": group, "never_seen": name in never_seen}
        for split in ("test", LEFT_OUT, "validation")
        for name, group in results.by_origin(split, keep=never_seen).items()
    ]


def _worst_origin(results: Results, split: str) -> dict | None:
    """The origin of a split with the lowest AUROC; None where fewer than two have one."""
    origins = results.subgroups.get(split, {}).get(ORIGIN, {})
    judged = {name: group for name, group in origins.items() if "auroc" in group.argmax and not group.against}
    if len(judged) < 2:
        return None
    name = min(judged, key=lambda name: judged[name].argmax["auroc"].value)
    return {"name": name, "group": judged[name]}


def _shown_metrics(results: Results) -> dict[str, Metric]:
    """The metrics that are shown; means over both classes of a binary task say nothing more than its other metrics."""
    means = ("macro_", "weighted_")
    return {name: metric for name, metric in METRICS.items() if not (results.positive_label and name.startswith(means))}


def _front_matter(results: Results) -> ModelCardData:
    own, name, external = results.dataset, results.recipe.name, results.external.values()
    shown = _shown_metrics(results)
    on_hub = [dataset.name for dataset in (own, *(other.dataset for other in external)) if "/" in dataset.name]
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["medical", "chest-x-ray", *([] if results.remote_code else ["timm"]), "onnx", name],
        datasets=on_hub or None,
        base_model=results.base_model,
        metrics=["accuracy", "roc_auc"],
        model_name=name,
        eval_results=[
            *(
                entry
                for split, rules in reversed(results.splits.items())
                for entry in _eval_results(own, split, rules["argmax"], shown)
            ),
            *(
                entry
                for other in external
                for entry in _eval_results(other.dataset, "external", other.rules["argmax"], shown)
            ),
        ],
    )


def _eval_results(dataset: DatasetRecord, split: str, metrics: Metrics, shown: dict[str, Metric]) -> list[EvalResult]:
    """The numbers of one split at argmax, as the Hub's model-index holds them."""
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=dataset.name,
            dataset_name=dataset.title,
            dataset_split=split,
            metric_type=metric.hub_name or name,
            metric_name=metric.title + ("" if metric.of_probabilities else " (argmax)"),
            metric_value=round(metrics[name].value, 4),
        )
        for name, metric in shown.items()
        if name in metrics
    ]


def main() -> None:
    """Render the cards of a run folder again: README.md and EVALUATION.md."""
    parser = CommandParser(prog="python -m train.report.model_card", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder that train/finetune.py made")
    parser.add_argument(
        "--hospitals",
        type=Path,
        metavar="FILE",
        help="put a study's matrix of left-out hospitals (hospitals.json) on it",
    )
    args = parser.parse_args()
    run, results = args.run, read_results(args.run / "results.json")
    if args.hospitals:
        results = replace(results, hospitals=read_json(args.hospitals, HospitalMatrix))
        write_results(run / "results.json", results)
    write_cards(run, results)
    print(f"written: {run / 'README.md'} and {run / 'EVALUATION.md'}")


if __name__ == "__main__":
    run_cli(main)
