"""The model's card: every number read from results.json, the prose in the template.

python -m train.report.model_card RUN     renders RUN/README.md again
"""

import argparse
import json
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from space.errors import UsageError, run_cli
from train.common.templates import render_template

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity (recall)",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
    "mcc": "Matthews correlation",
    "cohen_kappa": "Cohen's kappa",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "nll": "NLL (nats)",
    "ece": "ECE",
}
CLASS_METRIC_NAMES = {
    "precision": "precision",
    "recall": "recall (sensitivity)",
    "specificity": "specificity",
    "f1": "F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
}
CONTROL_NAMES = {
    "lungs_removed": "lungs removed",
    "lung_box_removed": "a box around the lungs removed",
    "lungs_only": "all but the lungs removed",
    "frame_only": "all but the outer tenth on each side removed",
}
ABOUT_NAMES = {
    "population": "who was taken",
    "acquisition": "how",
    "exclusion": "left out",
    "reference": "what says which class an image is of",
}
# Metrics that do not depend on how scores become decisions.
OF_PROBABILITIES = ("auroc", "auprc", "brier", "nll", "ece")
# As the Hub's evaluation tools name them.
HUB_NAMES = {"auroc": "roc_auc", "brier": "brier_score", "mcc": "matthews_correlation"}


def render_card(results: dict) -> str:
    """Render the card of a run.

    Args:
        results: The content of its results.json.

    Returns:
        README.md: front matter for the Hub, and the text.
    """
    return render_template(
        Path(__file__).parent / "templates" / "model_card.md.jinja",
        front_matter=_front_matter(results).to_yaml(),
        metric_names=METRIC_NAMES,
        class_metric_names=CLASS_METRIC_NAMES,
        control_names=CONTROL_NAMES,
        about_names=ABOUT_NAMES,
        **results,
    )


def _front_matter(results: dict) -> ModelCardData:
    own, name = results["dataset"], results["recipe"]["name"]
    datasets = [own, *(found["dataset"] for found in results["external"].values())]
    on_hub = [dataset["name"] for dataset in datasets if "/" in dataset["name"]]
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["medical", "chest-x-ray", *([] if results["remote_code"] else ["timm"]), name],
        datasets=on_hub or None,
        base_model=results["base_model"],
        metrics=["accuracy", "roc_auc"],
        model_name=name,
        eval_results=[
            *(
                one
                for split, rules in reversed(results["splits"].items())
                for one in _eval_results(own, split, rules["argmax"])
            ),
            *(
                one
                for found in results["external"].values()
                for one in _eval_results(found["dataset"], "external", found["rules"]["argmax"])
            ),
        ],
    )


def _eval_results(dataset: dict, split: str, metrics: dict[str, dict]) -> list[EvalResult]:
    """The numbers of one split at argmax, as the Hub's model-index holds them."""
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=dataset["name"],
            dataset_name=dataset["title"],
            dataset_split=split,
            metric_type=HUB_NAMES.get(name, name),
            metric_name=METRIC_NAMES[name] + ("" if name in OF_PROBABILITIES else " (argmax)"),
            metric_value=round(metrics[name]["value"], 4),
        )
        for name in METRIC_NAMES
        if name in metrics
    ]


def main() -> None:
    """Command line: render a run's card again."""
    parser = argparse.ArgumentParser(prog="python -m train.report.model_card", description=main.__doc__)
    parser.add_argument("run", type=Path, help="run folder")
    path = parser.parse_args().run / "results.json"
    if not path.is_file():
        raise UsageError(f"there is no {path}; give a run folder made by train/finetune.py.")
    path.with_name("README.md").write_text(render_card(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    run_cli(main)
