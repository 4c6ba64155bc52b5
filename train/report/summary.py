"""What a person reads in the terminal when a run is finished."""

from pathlib import Path

from space.results.evaluation_records import Estimate
from space.results.results_file import Results
from train.evaluation.metrics import METRICS

PRINTED = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "f1", "macro_f1", "auroc", "auprc", "ece")


def print_results(results: Results, output: Path) -> None:
    """Print the most important numbers of a finished run."""
    for split, rules in results.splits.items():
        for rule, metrics in rules.items():
            print(f"\n{split}, {rule.replace('_', ' ')}")
            for name in PRINTED:
                if name in metrics:
                    print(_line(name, metrics[name]))
        for origin, group in results.by_origin(split).items():
            if "auroc" in group.argmax:
                print(_line("auroc", group.argmax["auroc"]) + f"  {origin}, {group.images:,} images")
    for name, other in results.external.items():
        print(f"\nexternal: {name}, {other.images:,} images of all its splits")
        if other.absent:
            print(f"  no images of {', '.join(other.absent)}, so AUROC is not defined")
        name = "accuracy" if other.absent else "auroc"
        drop = other.drop.get("argmax", {}).get(name)
        compared = f", {abs(drop):.4f} {'lower' if drop > 0 else 'higher'} than on its own test split" if drop else ""
        print(_line(name, other.rules["argmax"][name]) + compared)
    if reason := results.calibration.not_fitted:
        print(f"\ntemperature: not fitted: {reason}")
    print(f"\nwritten: {output}")


def _line(name: str, estimate: Estimate) -> str:
    return f"  {METRICS[name].title:22} {estimate.value:.4f}  [{estimate.low:.4f}, {estimate.high:.4f}]"
