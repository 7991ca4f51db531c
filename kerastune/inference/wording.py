"""Figures of predictions in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def rare_class(found: Mapping[str, float], classes: Sequence[str]) -> list[str]:
    """Lines on how well the rarer of two classes is found.

    Args:
        found: as `analysis.rare_class.figures` has it, with or without a threshold.
        classes: names of the two.

    Example:
        >>> found = dict.fromkeys(("share", "roc_auc", "pr_auc", "recall", "precision"), 0.5)
        >>> found |= {"class": 1, "majority_accuracy": 0.5, "threshold": 0.3}
        >>> found |= {"threshold_recall": 1.0, "threshold_precision": 0.8, "threshold_f1": 0.9}
        >>> rare_class(found, ["no", "yes"])[2]
        'ROC AUC 0.5000, PR AUC 0.5000 of yes'
    """
    name = classes[int(found["class"])]
    lines = [
        f"{name} ({100 * found['share']:.1f} % of the examples) where it is likelier: recall "
        f"{found['recall']:.4f}, precision {found['precision']:.4f}",
    ]
    if "threshold" in found:
        lines.append(
            f"{name} from a probability of {found['threshold']:.4f} on: recall "
            f"{found['threshold_recall']:.4f}, precision {found['threshold_precision']:.4f}, F1 "
            f"{found['threshold_f1']:.4f}"
        )
    return [
        *lines,
        f"ROC AUC {found['roc_auc']:.4f}, PR AUC {found['pr_auc']:.4f} of {name}",
        f"accuracy of always predicting the other class {found['majority_accuracy']:.4f}",
    ]
