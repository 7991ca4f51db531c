"""All examples of a cross-validation, raw, so that every fold fits its own preparation."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.data import cutting, loading, sources, splits, target_kinds
from kerastune.data.folds import Fold
from kerastune.data.raw import Raw, from_pairs, refuse_stream
from kerastune.data.readers.asked import Asked
from kerastune.problem import OTHER, Declared, Part, Problem, joined


@dataclasses.dataclass(frozen=True)
class Foldable:
    """Raw examples that folds are cut from, and a test part that no fold has.

    Args:
        raw: as it was read; all that is folded is its training part.
        kind: `"classification"` or `"regression"`.
        rows: number of every example `[n]` among those of the source: its training part, then its
            validation part.
        classes: the classes; `None` for regression.
        settings: arguments of `data.finish` that every fold has alike.
        notes: what was done to the data, one sentence each.

    Example:
        >>> examples = from_arrays(np.eye(4), np.array([0, 1, 0, 1]))
        >>> fold = Fold("fold-1", 1, 1, np.array([0, 1]), np.array([2, 3]))
        >>> len(examples), len(examples.problem(fold).train)
        (4, 2)
    """

    raw: Raw
    kind: str
    rows: np.ndarray
    classes: splits.Classes | None
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def _examples(self) -> Part:
        return self.raw.parts["training"]

    @property
    def groups(self) -> np.ndarray | None:
        """What every example belongs to `[n]`, or `None`."""
        return self.raw.groups

    @property
    def true(self) -> np.ndarray:
        """Integer classes `[n]`, or numbers `[n, outputs]` in the user's units."""
        return self._true("training")

    @property
    def true_test(self) -> np.ndarray:
        """As `true`, of the test part."""
        return self._true("test")

    def inputs(self, chosen: np.ndarray) -> Any:
        """Raw inputs of some of the examples, by their places `[k]`."""
        return cutting.take(self._examples, chosen).x

    def _true(self, where: str) -> np.ndarray:
        part = self.raw.parts[where]
        if self.classes is not None:
            return self.classes.encode(part.y, where)
        return part.y.reshape(len(part), -1).astype(np.float64)

    def problem(self, fold: Fold) -> Problem:
        """The problem of one fold, which is its validation part.

        Everything is fitted to its training part.

        Raises:
            ValueError: for a training part that nothing can be fitted to.
        """
        parts = {**self.raw.parts, "training": cutting.take(self._examples, fold.train)}
        parts["validation"] = cutting.take(self._examples, fold.held_out)
        try:
            return loading.finish(
                dataclasses.replace(self.raw, parts=parts), kind=self.kind, **self.settings
            )
        except ValueError as error:
            raise ValueError(f"{fold.name} can't be trained on: {error}") from error


def load(
    source: Any,
    *,
    standardize: bool | None = None,
    seed: int = 1,
    for_own_model: bool = False,
    kind: str = "",
    ask: loading.Ask | None = None,
    standardize_targets: bool | None = None,
    **asked: Any,
) -> Foldable:
    """Reads a data set whose training and validation parts are cut into folds.

    Arguments are those of `data.load`.

    Where the source has no test part, the one that `data.load` cuts off with this seed is cut off
    here too. With groups none is cut off: it would be torn from examples of the same groups, and
    flatter the models.

    Raises:
        ValueError, FileNotFoundError, ImportError: in one line, as `data.load`.

    Example:
        >>> examples = load("iris")
        >>> len(examples), len(examples.raw.parts["test"])
        (128, 22)
    """
    told = {"ask": ask, "standardize_targets": standardize_targets}
    raw = sources.read(source, Asked(**asked))
    return of_raw(raw, seed, for_own_model, standardize, kind, **told)


def of_raw(
    raw: Raw,
    seed: int = 1,
    for_own_model: bool = False,
    standardize: bool | None = None,
    kind: str = "",
    ask: loading.Ask | None = None,
    standardize_targets: bool | None = None,
) -> Foldable:
    """As `load`, of a data set that was read.

    Raises:
        ValueError: in one line, for what can't be folded.
    """
    if raw.order is not None:
        raise ValueError(
            "`--time` can't be cross-validated, since every example is held out once, also the "
            "earliest: leave it out, or use kerastune tune."
        )
    told = {"ask": ask, "standardize_targets": standardize_targets}
    cut_test = raw.groups is None
    return _foldable(raw, seed, for_own_model, standardize, kind, cut_test=cut_test, **told)


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    groups: Any = None,
    test_data: Any = None,
    sample_weight: Any = None,
    class_weight: dict[Any, float] | None = None,
    seed: int = 1,
    name: str = "data",
    kind: str = "",
    prepare: bool = False,
    ask: loading.Ask | None = None,
    standardize_targets: bool | None = None,
) -> Foldable:
    """Takes arrays, all of which are folded; arguments as those of `data.from_arrays`.

    Args:
        groups: numbers or texts `[n]`; examples with the same one belong together.

    Raises:
        ValueError: in one line, for what can't be folded.
    """
    train = (x, y) if sample_weight is None else (x, y, sample_weight)
    refuse_stream(x)
    raw = from_pairs({"train": train, "test": test_data}, name)
    raw = dataclasses.replace(raw, groups=None if groups is None else np.asarray(groups))
    told = {"ask": ask, "standardize_targets": standardize_targets}
    return _foldable(raw, seed, not prepare, None, kind, class_weight=class_weight, **told)


def _foldable(
    raw: Raw,
    seed: int,
    for_own_model: bool,
    standardize: bool | None,
    kind: str,
    class_weight: dict[Any, float] | None = None,
    cut_test: bool = False,
    ask: loading.Ask | None = None,
    standardize_targets: bool | None = None,
) -> Foldable:
    if raw.stream is not None:
        refuse_stream(raw.stream)
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}.")
    loading.check_raw(raw, for_own_model)
    declared = ask(loading.few(raw)) if ask else Declared()
    kind = target_kinds.of_raw(raw, kind, declared)
    if kind == OTHER:
        raise ValueError(
            "Cross-validation needs one class or one row of numbers per example; search takes any "
            "targets."
        )
    parts = dict(raw.parts)
    if "validation" in parts:
        parts["training"] = joined(parts["training"], parts.pop("validation"))
    cutting.check_groups(raw.groups, len(parts["training"]))
    raw = dataclasses.replace(raw, parts=parts)
    classes = target_kinds.find_classes(raw, kind, declared)
    rows, notes = np.arange(len(parts["training"])), ()
    if cut_test and "test" not in parts:
        strata = classes.encode(parts["training"].y, "training") if classes else None
        rows, off = splits.cut(len(rows), cutting.cut_seed("test", seed), strata)
        parts["training"], parts["test"] = (
            cutting.take(parts["training"], rows),
            cutting.take(parts["training"], off),
        )
        notes = (
            f"{len(off)} of {len(rows) + len(off)} examples were split off as the test part; they "
            "are in no fold.",
        )
    settings = {
        "seed": seed,
        "for_own_model": for_own_model,
        "standardize": standardize,
        "class_weight": class_weight,
        "ask": ask,
        "standardize_targets": standardize_targets,
    }
    return Foldable(
        dataclasses.replace(raw, parts=parts), kind, rows, classes, settings, (*raw.notes, *notes)
    )
