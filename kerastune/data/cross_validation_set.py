"""All examples of a cross-validation, raw, so that every fold fits its own preparation."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.data import cutting, finishing, folds, sources, splits
from kerastune.data.finishing import Wishes
from kerastune.data.folds import Fold
from kerastune.data.raw import Raw, from_pairs, refuse_stream
from kerastune.data.readers.asked import Asked
from kerastune.data.targets import target_kinds
from kerastune.problem import OTHER, Part, Problem, joined


@dataclasses.dataclass(frozen=True)
class Foldable:
    """Raw examples that folds are cut from, and a test part that no fold has.

    Args:
        raw: as it was read; all that is folded is its training part.
        kind: `"classification"`, `"regression"` or `"other"`.
        rows: number of every example `[n]` among those of the source: its training part, then its
            validation part.
        classes: the classes; `None` where there are none.
        wishes: how every fold is prepared.
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
    wishes: Wishes
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
        """Integer classes `[n]`, or numbers `[n, outputs]` in the user's units; not of kind
        `"other"`.
        """
        return self._true("training")

    @property
    def true_test(self) -> np.ndarray:
        """As `true`, of the test part."""
        return self._true("test")

    @property
    def times(self) -> np.ndarray | None:
        """Times that the folds follow each other by `[n]`, or `None`."""
        return self.raw.order

    def cut(self, count: int, repeats: int, seed: int) -> list[Fold]:
        """The folds, as `folds.cut` has them; raises what that raises."""
        classes = self.true if self.classes is not None else None
        of = {"classes": classes, "groups": self.groups, "times": self.times}
        return folds.cut(len(self), count, repeats, seed, **of)

    def only(self, chosen: np.ndarray) -> Foldable:
        """Some of the examples, by their places `[k]`."""
        raw = dataclasses.replace(
            self.raw,
            parts={**self.raw.parts, "training": self._examples.take(chosen)},
            groups=None if self.groups is None else self.groups[chosen],
            order=None if self.times is None else self.times[chosen],
        )
        return dataclasses.replace(self, raw=raw, rows=self.rows[chosen])

    def inputs(self, chosen: np.ndarray) -> Any:
        """Raw inputs of some of the examples, by their places `[k]`."""
        return self._examples.take(chosen).x

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
        parts = {**self.raw.parts, "training": self._examples.take(fold.train)}
        parts["validation"] = self._examples.take(fold.held_out)
        try:
            whole = dataclasses.replace(self.raw, parts=parts, order=None)
            return finishing.finish(whole, self.wishes)
        except ValueError as error:
            raise ValueError(f"{fold.name} can't be trained on: {error}") from error


def load(
    source: Any,
    *,
    standardize: bool | None = None,
    seed: int = 1,
    for_own_model: bool = False,
    kind: str = "",
    ask: finishing.Ask | None = None,
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
    wishes = Wishes(
        seed=seed,
        for_own_model=for_own_model,
        standardize=standardize,
        kind=kind,
        ask=ask,
        standardize_targets=standardize_targets,
    )
    return of_raw(sources.read(source, Asked(**asked)), wishes)


def of_raw(raw: Raw, wishes: Wishes) -> Foldable:
    """As `load`, of a data set that was read.

    Args:
        raw: as it was read.
        wishes: how every fold is prepared; a test part is cut off where there are no groups.

    Raises:
        ValueError: in one line, for what can't be folded.
    """
    if raw.order is not None and "validation" in raw.parts:
        raise ValueError(
            "`validation_data` can't be cross-validated by `time`, which cuts one table: leave one "
            "of them out."
        )
    is_cut = raw.groups is None or raw.order is not None
    return _foldable(raw, dataclasses.replace(wishes, cut_test=is_cut))


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
    ask: finishing.Ask | None = None,
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
    wishes = Wishes(
        seed=seed,
        for_own_model=not prepare,
        kind=kind,
        class_weight=class_weight,
        ask=ask,
        standardize_targets=standardize_targets,
    )
    return _foldable(raw, wishes)


def _foldable(raw: Raw, wishes: Wishes) -> Foldable:
    if raw.stream is not None:
        refuse_stream(raw.stream)
    if wishes.seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {wishes.seed}.")
    finishing.check_raw(raw, wishes.for_own_model)
    declared = wishes.declared(raw)
    kind = target_kinds.of_raw(raw, wishes.kind, declared)
    if declared.is_stateful:
        raise ValueError(
            "Cross-validation draws folds at random, but a stateful model goes by the order of the "
            "examples; search takes it."
        )
    raw = target_kinds.arranged(raw, declared) if kind == OTHER else raw
    parts = dict(raw.parts)
    if "validation" in parts:
        parts["training"] = joined(parts["training"], parts.pop("validation"))
    if raw.order is not None:
        # As in a search, time goes before groups.
        raw = dataclasses.replace(raw, groups=None)
    cutting.check_groups(raw.groups, len(parts["training"]))
    raw = dataclasses.replace(raw, parts=parts)
    classes = target_kinds.find_classes(raw, kind, declared)
    rows, notes = np.arange(len(parts["training"])), ()
    if wishes.cut_test and "test" not in parts:
        strata = classes.encode(parts["training"].y, "training") if classes else None
        if raw.order is None:
            rows, off = splits.cut(len(rows), cutting.cut_seed("test", wishes.seed), strata)
        else:
            rows, off = cutting.latest(raw.order)
            raw = dataclasses.replace(raw, order=raw.order[rows])
        parts["training"], parts["test"] = (
            parts["training"].take(rows),
            parts["training"].take(off),
        )
        notes = (
            f"{len(off)} of {len(rows) + len(off)} examples were split off as the test part; they "
            "are in no fold.",
        )
    # Targets of kind "other" are told anew in every fold, by the same model.
    wishes = dataclasses.replace(
        wishes, kind=wishes.kind if kind == OTHER else kind, cut_test=False
    )
    return Foldable(
        dataclasses.replace(raw, parts=parts), kind, rows, classes, wishes, (*raw.notes, *notes)
    )
