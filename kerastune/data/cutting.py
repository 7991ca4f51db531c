"""Cuts missing validation and test parts off the training part, and tells what parts share."""

from __future__ import annotations

import numpy as np

from kerastune.analysis import nested
from kerastune.data import splits
from kerastune.data.raw import Raw
from kerastune.problem import Declared, Part

CUT_PARTS = ("test", "validation")  # in this order
TRIES = 20  # random orders of groups, of which the one with the best shares of classes is taken
MOST_COMPARED = 1_000_000_000  # bytes of inputs that are looked through for repeated examples


def cut_parts(
    raw: Raw, classes: splits.Classes | None, seed: int, cut_test: bool, declared: Declared
) -> tuple[dict[str, Part], list[str]]:
    """Cuts missing parts off the training part; gives all parts, and a sentence for each cut.

    By time where the source has an order, whole groups where it has groups, whole batches at the
    end for a stateful model, and else at random with the shares of the classes. Of a stream nothing
    is cut off.

    Args:
        raw: as it was read.
        classes: of a classification.
        seed: at least 0.
        cut_test: whether a missing test part is cut off too.
        declared: what the user's model says.

    Raises:
        ValueError: for parts that can't be cut.
    """
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}.")
    parts, notes = dict(raw.parts), []
    if raw.stream is not None:
        return parts, notes
    left = np.arange(len(parts["training"]))
    for where in CUT_PARTS:
        if where in parts or (where == "test" and not cut_test):
            continue
        train = parts["training"]
        strata = classes.encode(train.y, "training") if classes else None
        if declared.is_stateful:
            stay, off = _last_batches(raw, train, declared)
            how = "the last ones, whole batches: the model is stateful"
        elif raw.order is not None:
            (stay, off), how = latest(raw.order[left]), "the latest"
        elif raw.groups is not None:
            num_given = sum(len(raw.parts[each]) for each in raw.parts if each != "test")
            check_groups(raw.groups, num_given)
            groups = raw.groups[: len(raw.parts["training"])][left]
            stay, off = whole_groups(groups, cut_seed(where, seed), strata)
            how = f"whole groups, seed {seed}"
        else:
            stay, off = splits.cut(len(train), cut_seed(where, seed), strata)
            how = f"{'stratified' if classes else 'at random'}, seed {seed}"
        parts["training"], parts[where] = train.take(stay), train.take(off)
        left = left[stay]
        notes.append(
            f"{len(off)} of {len(train)} training examples were split off as the {where} part "
            f"({how})."
        )
    return parts, notes


def way_of_cut(raw: Raw, declared: Declared) -> str:
    """How `cut_parts` cuts off the validation part, as `Problem.cut` has it.

    Example:
        >>> part = Part(np.eye(20), np.arange(20))
        >>> way_of_cut(Raw("all", {"training": part}), Declared())
        'random'
        >>> way_of_cut(Raw("given", {"training": part, "validation": part}), Declared())
        ''
    """
    if "validation" in raw.parts:
        return ""
    if declared.is_stateful:
        return "end"
    if raw.order is not None:
        return "time"
    return "random" if raw.groups is None else "groups"


def _last_batches(raw: Raw, train: Part, declared: Declared) -> tuple[np.ndarray, np.ndarray]:
    if raw.order is not None or raw.groups is not None:
        raise ValueError(
            "`time` and `groups` can't cut the data of a stateful model, which takes examples in "
            "their order and in whole batches: give `validation_data` and `test_data`."
        )
    return splits.cut_end(len(train), declared.batch_size or 1)


def cut_seed(where: str, seed: int) -> list[int]:
    """The seed of the cut of a part.

    The cuts of test and validation part are independent of each other.

    Example:
        >>> cut_seed("test", 7), cut_seed("validation", 7)
        ([7, 0], [7, 1])
    """
    return [seed, CUT_PARTS.index(where)]


def latest(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts off the latest examples, about as many as `splits.cut`; the same time is on one side.

    Args:
        times: `[n]`, without gaps.

    Returns:
        Indices that stay and indices that are cut off, each ascending.

    Raises:
        ValueError: where there are too few examples, or too few different times.

    Example:
        >>> latest(np.arange(20.0)[::-1])[1].tolist()
        [0, 1, 2]
    """
    count = _least_count(len(times))
    border = np.sort(times)[-count]
    off = times >= border
    if off.mean() > 0.5:
        off = times > border
    if not 0 < off.sum() < len(times):
        raise ValueError(
            f"`time` has {len(np.unique(times))} different times, too few to cut by: leave it "
            "out, or give `validation_data` and `test_data`."
        )
    return np.flatnonzero(~off), np.flatnonzero(off)


def whole_groups(
    groups: np.ndarray, seed: list[int], classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts off whole groups, about as many examples as `splits.cut`, the same for the same seed.

    Args:
        groups: `[n]`; examples with the same one are on the same side.
        seed: numbers of at least 0.
        classes: integer classes `[n]` whose shares are kept as far as whole groups allow.

    Returns:
        Indices that stay and indices that are cut off, each ascending.

    Raises:
        ValueError: for fewer than three groups, or none that is small enough.

    Example:
        >>> stay, off = whole_groups(np.repeat(np.arange(20), 5), [1, 0])
        >>> len(off), sorted(set(off // 5) & set(stay // 5))
        (15, [])
    """
    count = _least_count(len(groups))
    names, places = np.unique(groups, return_inverse=True)
    classes = np.zeros(len(groups), np.int64) if classes is None else classes
    table = np.zeros([len(names), int(classes.max()) + 1])
    np.add.at(table, (places, classes), 1)
    wanted = table.sum(axis=0) * count / len(groups)
    random = np.random.default_rng(seed)
    tried = [_filled(random.permutation(len(names)), table, count) for _ in range(TRIES)]
    kept = [chosen for chosen in tried if len(chosen) and _is_all_left(table, chosen)]
    if len(names) < 3 or not kept:
        raise ValueError(
            f"`groups` has {len(names)} groups, which can't be cut into parts with every class "
            "in the training part: give `validation_data` and `test_data`, or leave it out."
        )
    best = min(kept, key=lambda chosen: float(np.abs(table[chosen].sum(axis=0) - wanted).sum()))
    off = np.isin(places, best)
    return np.flatnonzero(~off), np.flatnonzero(off)


def check_groups(groups: np.ndarray | None, num_examples: int) -> None:
    """Refuses groups that are not one number or text for every example.

    Raises:
        ValueError: in one line.
    """
    if groups is not None and (groups.shape != (num_examples,) or groups.dtype.kind not in "biufU"):
        raise ValueError(
            f"`groups` has shape {groups.shape} and dtype {groups.dtype}, expected "
            f"({num_examples},) numbers or texts: one group for every example of the training "
            "part, then of a validation part that is given."
        )


def _least_count(num_examples: int) -> int:
    stay, off = splits.cut(num_examples, [0])
    return len(off)


def _filled(order: np.ndarray, table: np.ndarray, count: int) -> np.ndarray:
    """Groups in a random order, each taken where it still fits."""
    sizes, total, chosen = table.sum(axis=1), 0.0, []
    for group in order:
        if total + sizes[group] <= count * 1.1:
            chosen.append(group)
            total += sizes[group]
    return np.array(chosen, np.int64)


def _is_all_left(table: np.ndarray, chosen: np.ndarray) -> bool:
    left = table.sum(axis=0) - table[chosen].sum(axis=0)
    return bool((left[table.sum(axis=0) > 0] > 0).all())


def repeated(parts: dict[str, Part]) -> list[str]:
    """Sentences on examples that more than one part has, with the same inputs and targets.

    Args:
        parts: prepared, by name.

    Example:
        >>> part = Part(np.eye(3), np.arange(3))
        >>> repeated({"training": part, "test": part.take(np.array([1, 2]))})[0][:50]
        'The test part is contained in the training part: i'
    """
    arrays = {where: _leaves(part) for where, part in parts.items()}
    if sum(array.nbytes for each in arrays.values() for array in each) > MOST_COMPARED:
        return []
    seen = {where: _digests(each) for where, each in arrays.items() if each}
    notes = []
    for where in ("validation", "test"):
        for other in ("training", "validation"):
            if where == other or where not in seen or other not in seen:
                continue
            shared = int(np.isin(seen[where], seen[other]).sum())
            if shared == len(seen[where]):
                notes.append(
                    f"The {where} part is contained in the {other} part: its metrics say nothing "
                    "of new examples."
                )
            elif shared:
                notes.append(
                    f"{shared} of {len(seen[where])} {where} examples are in the {other} part as "
                    "well, with the same inputs and targets."
                )
    return notes


def _leaves(part: Part) -> list[np.ndarray]:
    """Arrays of inputs and targets; none where the inputs are a stream's."""
    leaves = [*nested.leaves(part.x), *nested.leaves(part.y)]
    return leaves if all(isinstance(each, np.ndarray) for each in leaves) else []


def _digests(arrays: list[np.ndarray]) -> np.ndarray:
    """A number for every example `[n]`, alike for the same values."""
    columns = [_of_rows(array) for array in arrays]
    if len(columns) == 1:
        return columns[0]
    rows = np.stack(columns, axis=1)
    return np.array([hash(row.tobytes()) for row in rows], np.int64)


def _of_rows(array: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(array.reshape(len(array), -1))
    return np.array([hash(row.tobytes()) for row in rows], np.int64)
