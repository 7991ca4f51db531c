"""Exports the models that a search left in its output directory.

Nothing is trained again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.data import sources, tabular
from kerastune.data.raw import Raw
from kerastune.data.readers.asked import Asked
from kerastune.data.readers.columns import BOOLEAN, NUMBER
from kerastune.export import versions
from kerastune.export.saved_model import export, save_as
from kerastune.export.signatures import MOST_EXAMPLES
from kerastune.models import saved_models
from kerastune.problem import Part
from kerastune.study.run_directory import RunDir

MOST_LABELLED = 2000  # examples with labels that two versions are compared on
IMAGE_MODELS = ("cnn", "resnet")  # built-in models that take nothing else


def release(
    run_dir: RunDir,
    base: Path,
    format: str,
    settings: Mapping[str, Any],
    views: bool = True,
    ensemble: bool = True,
    against: str = "",
    is_new: bool = False,
) -> Path:
    """Exports the final model of a finished search or cross-validation.

    Its TTA model, or its ensemble, or its calibrated model.

    Class names are those that the search left behind. For a SavedModel, a few dozen real inputs are
    read from the data again, to compare with and to warm up; where the data can't be read, random
    numbers take their place and a warning says so.

    Args:
        run_dir: the search's output directory.
        base: directory of exported models.
        format: one of `publishing.ENDINGS`.
        settings: `data`, `label`, `image_size`, `groups`, `model` and `pretrained` as the search
            was given them; empty if it was not told by flags.
        views: whether views that are averaged may be part of it.
        ensemble: whether an ensemble may.
        against: as `export` takes it; empty for none.
        is_new: whether `data` are labelled examples that no version has learnt: then it is also
            told which of the two is better. It is on a test part, too.

    Returns:
        The version's directory, or the file.

    Raises:
        ValueError: for a directory without a finished search, and whatever `export` refuses.
    """
    path = saved_models.to_use(run_dir, views, ensemble)
    if path is None:
        raise ValueError(
            f"`output_dir` ({run_dir.path}) holds no {run_dir.model.name}: let `kerastune tune` "
            "finish."
        )
    model_setting = settings.get("pretrained") or settings.get("model", "")
    model, name = saved_models.load(path, model_setting), run_dir.path.name.lstrip(".")
    if format != versions.SAVED_MODEL:
        return save_as(model, base, name, format)
    told = (file for file in (run_dir.result, run_dir.crossval) if file.is_file())
    figures = next((json.loads(file.read_text(encoding="utf-8")) for file in told), {})
    image = True if model_setting in IMAGE_MODELS else None
    examples = _examples_or_none(settings)
    names = figures.get("classes", ())
    asked = {"class_names": names, "examples": examples, "image": image}
    if against:
        labelled = (
            None if examples is None else labelled_examples(names, is_new, **_asked(settings))
        )
        asked |= {"against": against, "labelled": labelled}
    return export(model, base, name, **asked)


def examples(source: Any, count: int = MOST_EXAMPLES, **asked: Any) -> Any:
    """Raw inputs of a data set, as a saved model takes them.

    Evenly from its test part, or else from another one.

    Args:
        source: as `data.load` takes it.
        count: how many, at most.
        asked: what the user says of it, as `data.load` takes it.

    Example:
        >>> examples("digits", count=5).shape
        (5, 8, 8)
    """
    raw = sources.read(source, Asked(**asked))
    return _inputs(raw, _chosen(raw, count))


def labelled_examples(
    class_names: Sequence[str],
    is_new: bool,
    source: Any,
    count: int = MOST_LABELLED,
    **asked: Any,
) -> tuple[Any, np.ndarray] | None:
    """As `examples`, with integer classes `[n]` or numbers `[n, outputs]`.

    `None` for other targets, and for data that a model has learnt.

    Args:
        class_names: in the order of the integer labels; none for regression.
        is_new: whether no part of the data was learnt, and not only the test part.
        source: as `data.load` takes it.
        count: how many, at most.
        asked: what the user says of it, as `data.load` takes it.

    Example:
        >>> labelled_examples([], False, "digits") is None
        True
    """
    raw = sources.read(source, Asked(**asked))
    part = _chosen(raw, count)
    y = part.y
    if not (is_new or "test" in raw.parts) or not isinstance(y, np.ndarray):
        return None
    if class_names:
        places = {str(name): place for place, name in enumerate(class_names)}
        if y.ndim != 1 or not {str(each) for each in y} <= set(places):
            return None
        y = np.array([places[str(each)] for each in y])
    elif y.dtype.kind not in "fiu":
        return None
    return _inputs(raw, part), y if class_names else y.astype(np.float64)


def _chosen(raw: Raw, count: int) -> Part:
    """Examples of the test part, or else of another one, spread evenly."""
    part = next(
        raw.parts[where] for where in ("test", "validation", "training") if where in raw.parts
    )
    return part.take(np.linspace(0, len(part) - 1, min(count, len(part))).astype(int))


def _inputs(raw: Raw, part: Part) -> Any:
    chosen = part.x
    if not raw.is_table:
        return chosen
    if any(column.kind not in (NUMBER, BOOLEAN) for column in raw.columns if column.is_input):
        return {tabular.safe_name(name): column[:, None] for name, column in chosen.items()}
    return np.stack(list(chosen.values()), axis=1)


def _asked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The source of the data, and what the user said of it."""
    names = (field.name for field in dataclasses.fields(Asked))
    return {"source": settings["data"]} | {
        name: settings[name] for name in names if name in settings
    }


def _examples_or_none(settings: Mapping[str, Any]) -> Any:
    if not settings.get("data"):
        reason = "the data of the search have no name"
    else:
        try:
            return examples(**_asked(settings))
        except (ValueError, OSError, ImportError) as error:
            reason = str(error)
    logging.getLogger("kerastune").warning(
        "The export was checked on random inputs (%s): give `data` to check it on real ones.",
        reason,
    )
    return None
