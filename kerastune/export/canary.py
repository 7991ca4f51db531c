"""A new version is compared with one that is served, on recorded requests, before it appears."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerastune.analysis import comparison
from kerastune.export import serving_readme, warmup
from kerastune.export.signatures import DEFAULT
from kerastune.playbook import wording

AT_ONCE = 256  # labelled examples


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Examples whose answers are known.

    Args:
        inputs: by the names of the signature `serving_default`, `[n, ...]`.
        y: integer classes `[n]`, or numbers `[n, outputs]`.
    """

    inputs: Mapping[str, np.ndarray]
    y: np.ndarray


def compared(old: Path, new: Path, labelled: Labelled | None = None) -> list[str]:
    """How the answers of two versions differ, a sentence each.

    Args:
        old: directory of the version that is served, whose recorded requests are replayed.
        new: directory of the other.
        labelled: examples whose answers are known, to tell which of the two is better.

    Raises:
        ValueError: where old requests would fail, or get other outputs, or nothing is recorded.
    """
    path = old / serving_readme.EXTRA / warmup.FILE
    requests = warmup.read(path) if path.is_file() else []
    if not requests:
        raise ValueError(
            f"`against` ({old}) holds no recorded requests ({serving_readme.EXTRA}/{warmup.FILE}): "
            "name a version that kerastune exported."
        )
    before, after = (tf.saved_model.load(str(each)) for each in (old, new))
    check_signatures(old, before.signatures, after.signatures)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for signature, inputs in requests:
        answers = [_asked(each.signatures[signature], inputs) for each in (before, after)]
        for name in answers[0]:
            found.setdefault(name, []).append((answers[0][name], answers[1][name]))
    told = [_told(name, pairs) for name, pairs in found.items()]
    first = f"Compared with version {old.name} on {len(requests)} recorded requests:"
    sentences = [f"{first} {'; '.join(told)}."]
    if labelled is not None:
        answers = [_in_parts(each.signatures[DEFAULT], labelled.inputs) for each in (before, after)]
        sentences.append(f"On {len(labelled.y)} labelled examples: {better(*answers, labelled.y)}.")
    return sentences


def check_signatures(old: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raises `ValueError`, in one line, where a client of the old version would need a change."""
    for name, signature in before.items():
        was, now = _form(signature), _form(after[name]) if name in after else "nothing"
        if was != now:
            raise ValueError(
                f"`against` ({old}): its signature `{name}` is {was}, that of the new version "
                f"{now}; clients would fail. Export to another `export_dir`, or leave `against` "
                "out."
            )


def _form(signature: Any) -> str:
    """Inputs and outputs of a signature, in words."""
    given = signature.structured_input_signature[1]
    sides = (
        ", ".join(f"{name} {_type(each)}" for name, each in sorted(specs.items()))
        for specs in (given, signature.structured_outputs)
    )
    return " -> ".join(sides)


def _type(spec: Any) -> str:
    sides = "unknown" if spec.shape.rank is None else ", ".join(str(s or "n") for s in spec.shape)
    return f"{spec.dtype.name}[{sides}]"


def _asked(signature: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    answer = signature(**{name: tf.constant(x) for name, x in inputs.items()})
    return {name: tensor.numpy() for name, tensor in answer.items()}


def _in_parts(signature: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities or predictions for many examples, also of a signature of one batch size."""
    count, found = len(next(iter(inputs.values()))), []
    specs = signature.structured_input_signature[1].values()
    size = next(iter(specs)).shape[0]
    for start in range(0, count, size or AT_ONCE):
        rows = np.arange(start, start + size) % count if size else slice(start, start + AT_ONCE)
        answer = _asked(signature, {name: x[rows] for name, x in inputs.items()})
        found.append(answer.get("probabilities", answer.get("predictions")))
    return np.concatenate(found)[:count]


def _told(name: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> str:
    """How one output differs.

    Example:
        >>> _told("classes", [(np.array([1, 2]), np.array([1, 3]))])
        '1 of 2 classes differ'
    """
    old, new = (np.concatenate([np.ravel(each) for each in side]) for side in zip(*pairs))
    if old.dtype.kind != "f":
        return f"{int(np.sum(old != new)):,} of {len(old):,} {name} differ"
    by = np.abs(new.astype(np.float64) - old)
    return f"{name} differ by at most {by.max():.3g}, {by.mean():.3g} on average"


def better(old: np.ndarray, new: np.ndarray, y: np.ndarray) -> str:
    """Whether the new answers are better, with the 95 % interval of the paired difference.

    Args:
        old: probabilities `[n, classes]`, or numbers `[n, outputs]`.
        new: the same of the new version.
        y: integer classes `[n]`, or numbers `[n, outputs]`.

    Example:
        >>> old, y = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1])
        >>> better(old, old, y)
        'accuracy 0.5000 before, 0.5000 now: +0 points of accuracy (95 % CI +0 to +0)'
    """
    if y.ndim == 1 and y.dtype.kind in "iu":
        measure, scores = "accuracy", [(each.argmax(axis=1) == y) * 1.0 for each in (old, new)]
        figures = [each.mean() for each in scores]
    else:
        measure = "loss"
        errors = [np.abs(each.reshape(len(y), -1) - y.reshape(len(y), -1)) for each in (old, new)]
        scores = [-each.mean(axis=1) for each in errors]
        figures = [-each.mean() for each in scores]
    gain = comparison.difference(scores[1], scores[0])
    shown = "MAE" if measure == "loss" else measure
    ends = wording.interval(gain.low, gain.high, measure)
    by = wording.gained(gain.gain, measure).replace(" of loss", " of MAE")
    return f"{shown} {figures[0]:.4f} before, {figures[1]:.4f} now: {by} (95 % CI {ends})"
