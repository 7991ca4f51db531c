"""From what was read to a problem: checked, cut, and prepared as fits the training part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from kerastune.analysis import nested
from kerastune.data import (
    checks,
    cutting,
    memory,
    new_data,
    preprocessing,
    profiling,
    splits,
    streams,
    tabular,
)
from kerastune.data.encoding import texts
from kerastune.data.encoding.texts import Texts
from kerastune.data.preprocessing import Attachment
from kerastune.data.profiling import Profile
from kerastune.data.raw import Raw
from kerastune.data.readers import column_rows
from kerastune.data.readers.columns import TEXT
from kerastune.data.targets import class_weights, target_kinds
from kerastune.data.targets.fitted import Targets
from kerastune.problem import OTHER, Declared, Part, Problem

# Tells what a model says of its targets, from a few of its inputs.
Ask = Callable[[Any], Declared]

LOOKED_AT = 2  # examples that a model is shown


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How data are to be prepared, whatever they are.

    Args:
        seed: of the cuts, at least 0.
        for_own_model: whether the model is the user's own.
        standardize: inputs; `None` means for built-in models only.
        kind: `"classification"`, `"regression"`, or empty where model and targets tell.
        class_weight: by the label as it is in `y`; or `"balanced"`.
        ask: tells what the user's model says of its targets.
        standardize_targets: `None` means for all but compiled models.
        cut_test: whether a missing test part is cut off too.
    """

    seed: int = 1
    for_own_model: bool = False
    standardize: bool | None = None
    kind: str = ""
    class_weight: dict[Any, float] | str | None = None
    ask: Ask | None = None
    standardize_targets: bool | None = None
    cut_test: bool = False

    def declared(self, raw: Raw) -> Declared:
        """What the user's model says of its targets, shown a few of the inputs."""
        return self.ask(_few(raw)) if self.ask else Declared()


def finish(raw: Raw, wishes: Wishes) -> Problem:
    """Checks the data, cuts off missing parts, and fits the preparation, in this order.

    It is fitted to what is left for training.

    Raises:
        ValueError: with one line, for data that cannot be trained on.
    """
    declared = wishes.declared(raw)
    raw = target_kinds.arranged(raw, declared)
    check_raw(raw, wishes.for_own_model)
    kind = target_kinds.of_raw(raw, wishes.kind, declared)
    classes = target_kinds.find_classes(raw, kind, declared)
    parts, cut_notes = cutting.cut_parts(raw, classes, wishes.seed, wishes.cut_test, declared)
    standardize_targets = target_kinds.is_standardized(kind, declared, wishes.standardize_targets)
    train, weights = parts["training"], wishes.class_weight
    if kind == OTHER and raw.stream is None and declared.loss in class_weights.OF_SIGNS:
        parts["training"], weights = class_weights.by_label(train, weights), None
    targets = target_kinds.fit(train.y, classes, kind, wishes.for_own_model, standardize_targets)
    # What is wrong with targets is told before large inputs are prepared.
    spare = declared.is_compiled and (declared.width or 0) > 1 and classes is not None
    class_notes = _class_notes(parts, classes, spare)
    preparation = _fit_inputs(raw, train.x, wishes)
    prepared = {
        where: _prepare_part(part, where, preparation, targets)
        for where, part in parts.items()
        if raw.stream is None or where != "training"
    }
    stream = (
        streams.prepare_stream(raw.stream, preparation, targets) if raw.stream is not None else None
    )
    units = (targets.mean, targets.scale) if standardize_targets else ()
    any_size = getattr(preparation, "any_size", False)
    is_plain = preparation.is_identity and not any_size and not units
    told = target_kinds.notes(targets, train.y, declared)
    compared = prepared
    if isinstance(preparation, Texts):  # which makes different texts of rare words alike
        told = (*told, preparation.note)
        compared = {
            where: Part(preparation.compared(part.x), prepared[where].y)
            for where, part in parts.items()
        }
    counted = prepared.get("training", prepared["validation"])
    return Problem(
        name=raw.name,
        kind=kind,
        train=prepared.get("training"),
        validation=prepared["validation"],
        test=prepared.get("test"),
        class_names=classes.names if classes else (),
        target_mean=targets.mean,
        target_scale=targets.scale,
        target_std=targets.std,
        attach=None if is_plain else Attachment(preparation, *units),
        stream=stream,
        class_weight=class_weights.by_class(weights, classes, counted),
        spare_outputs=spare,
        batch_size=declared.batch_size,
        is_stateful=declared.is_stateful,
        cut=cutting.way_of_cut(raw, declared),
        output_numbers=declared.numbers,
        reading=new_data.described(raw),
        columns=tuple(column_rows.rows(raw)),
        notes=(*told, *raw.notes, *cut_notes, *class_notes, *cutting.repeated(compared)),
    )


def _few(raw: Raw) -> Any:
    """A few inputs as a model takes them; `None` where none are at hand."""
    if raw.is_table:
        return None
    part = raw.parts["validation" if raw.stream is not None else "training"]
    return nested.mapped(lambda array: array[:LOOKED_AT], part.x)


def check_raw(raw: Raw, for_own_model: bool) -> None:
    """Refuses what preparing would hide or stumble over; raises `ValueError`."""
    train = raw.parts["training"]
    for where, part in raw.parts.items():
        if raw.is_table or (raw.stream is not None and where == "training"):
            # The inputs were checked when they were read.
            checks.check_targets(part.y, where, any_targets=True)
        else:
            checks.check_part(part, where, any_targets=True, any_inputs=for_own_model)
        checks.check_same_shape(_shapes(train), _shapes(part), where)
    ranks = {name: len(shape) + 1 for name, shape in _shapes(train).items()}
    for name, rank in ranks.items():
        if rank > 4 and not for_own_model:
            raise ValueError(
                f"`{name}` has rank {rank}; built-in models take [examples, features], [examples, "
                "height, width] or [examples, height, width, channels]: reshape it or use your "
                "own model."
            )


def _shapes(part: Part) -> dict[str, tuple[int, ...]]:
    """As `checks.shapes`, of profiles too."""
    profiles = {
        name: array.shape for name, array in checks.entries(part.x) if isinstance(array, Profile)
    }
    return checks.shapes(part) | profiles


def _fit_inputs(raw: Raw, x: Any, wishes: Wishes) -> Any:
    """Fits the preparation to the training inputs: columns, arrays, or the profile of a stream."""
    for_own_model, standardize = wishes.for_own_model, wishes.standardize
    if for_own_model and not standardize and not raw.is_table:
        profiles = x if raw.stream is not None else profiling.profile(x, measure=False)
        return preprocessing.AsGiven(profiles)
    standardize = not for_own_model if standardize is None else standardize
    if raw.is_table:
        kinds = {column.name: column for column in raw.columns if column.is_input}
        if not for_own_model and [each.kind for each in kinds.values()] == [TEXT]:
            return texts.fit(*next(iter(x.items())))
        return tabular.fit_table(x, standardize, kinds, is_robust=not for_own_model)
    profiles = x if raw.stream is not None else profiling.profile(x, standardize)
    return preprocessing.fit(
        profiles, not for_own_model, standardize, not for_own_model, any_size=bool(raw.image_size)
    )


def _prepare_part(part: Part, where: str, preparation: Any, targets: Targets) -> Part:
    if not preparation.is_identity:
        width = getattr(preparation, "width", None)
        sizes = (array.size for _, array in checks.entries(part.x))
        num_values = sum(sizes) if width is None else width * len(part)
        memory.check(4 * num_values, f"The prepared {where} part")
    return Part(preparation.apply(part.x), targets.encode(part.y, where), part.sample_weight)


def _class_notes(
    parts: dict[str, Part], classes: splits.Classes | None, spare_outputs: bool
) -> list[str]:
    """Refuses a class without training examples; gives a sentence for those missing elsewhere.

    With `spare_outputs` for those as well.
    """
    notes = []
    for where, part in parts.items() if classes else ():
        encoded = classes.encode(part.y, where)
        missing = checks.check_classes(encoded, classes.names, where, spare_outputs)
        if missing:
            notes.append(
                f"Classes without an example in the {where} part: {checks.shorten(missing)}."
            )
    return notes
