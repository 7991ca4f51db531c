"""Reads new examples as those of a search were read, some thousands at a time."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.data.raw import Raw
from kerastune.data.readers import columns, image_files, image_folders, table_files, tables
from kerastune.data.readers.columns import Column
from kerastune.data.tabular import safe_name

TABLE, IMAGES = "table", "images"
ROWS_AT_ONCE = 10_000
IMAGES_AT_ONCE = 512
AHEAD = 200_000_000  # bytes of inputs that are read before a model is loaded


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some new examples.

    Args:
        inputs: as a saved model takes them.
        kept: columns `[n]` that tell which examples they are, by name.
        y: what was to be predicted, as it was read; `None` where it is not told.
        notes: what was done to the data, one sentence each.
    """

    inputs: Any
    kept: dict[str, Any]
    y: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._arrays[0])

    @property
    def num_bytes(self) -> int:
        """Of the inputs."""
        return sum(array.nbytes for array in self._arrays)

    @property
    def _arrays(self) -> list[np.ndarray]:
        return list(self.inputs.values()) if isinstance(self.inputs, dict) else [self.inputs]


def described(raw: Raw) -> dict[str, Any]:
    """How new examples of the same form as those of a source are read, as plain values.

    Example:
        >>> described(Raw("arrays", {}))
        {}
    """
    if raw.columns:
        found = [dataclasses.asdict(column) for column in raw.columns]
        return {"form": TABLE, "columns": found, "label": dataclasses.asdict(raw.label)}
    return {"form": IMAGES, "image_size": raw.image_size} if raw.image_size else {}


@dataclasses.dataclass(frozen=True)
class TableForm:
    """The columns that a model takes, and the one that it predicts.

    Args:
        columns: of the table that was searched on, but for the label.
        label: the column that is predicted.

    Example:
        >>> form = TableForm((Column("size", "number", "1.234,5"),), Column("price", "number"))
        >>> form.batch({"size": np.array(["1,5"], object)}, "new.csv").inputs.tolist()
        [[1.5]]
    """

    columns: tuple[Column, ...]
    label: Column

    @classmethod
    def of(cls, reading: Mapping[str, Any]) -> TableForm:
        """The form that `described` tells of."""
        found = tuple(Column(**values) for values in reading["columns"])
        return cls(found, Column(**reading["label"]))

    @property
    def taken(self) -> tuple[Column, ...]:
        """The columns that are inputs."""
        return tuple(column for column in self.columns if column.is_input)

    @property
    def is_one_array(self) -> bool:
        """Whether the model takes an array `[n, columns]`, and not one input for each."""
        return all(each.kind in (columns.NUMBER, columns.BOOLEAN) for each in self.taken)

    def batch(
        self, cells: table_files.Cells, what: str, is_labelled: bool = False, before: int = 0
    ) -> Batch:
        """Rows as the model takes them.

        Args:
            cells: of the columns of a table.
            what: the table is called.
            is_labelled: whether the label must be there.
            before: rows of the table that come before these.

        Raises:
            ValueError: naming the columns that are missing.
        """
        wanted = [*self.columns, *([self.label] if is_labelled else [])]
        tables.check_columns(cells, wanted, what)
        found = tables.inputs(cells, self.columns)
        kept = {
            each.name: cells[each.name]
            for each in self.columns
            if not each.is_input and each.name in cells and each.distinct != 1
        }
        y = None
        if is_labelled:
            y = tables.target(cells[self.label.name], self.label, what, before)
        notes = tuple(tables.told_of_lost(cells, self.taken, what))
        return Batch(self.arranged(found), kept, y, notes)

    def arranged(self, found: Mapping[str, np.ndarray]) -> Any:
        """Values of columns `[n]` as the model takes them."""
        if self.is_one_array:
            return np.stack([found[each.name] for each in self.taken], axis=1)
        return {safe_name(each.name): found[each.name] for each in self.taken}


def check(path: Path, reading: Mapping[str, Any]) -> None:
    """Refuses data of another form than a search's, as far as can be told without reading them.

    Raises:
        ValueError: in one line, naming the columns that are missing.
    """
    if reading.get("form") == TABLE:
        _check_table(path)
        names = dict.fromkeys(table_files.header(path))
        tables.check_columns(names, list(TableForm.of(reading).columns), str(path))


def _check_table(source: Any) -> None:
    if not table_files.is_table(source):
        raise ValueError(
            f"`data` ({source}) must be a table, as the data of the search were: a .csv or "
            ".parquet with the same columns."
        )


def batches(source: Any, reading: Mapping[str, Any], is_labelled: bool = False) -> Iterator[Batch]:
    """New examples, some thousands at a time.

    Args:
        source: a file, a folder of images, or a DataFrame, of the form of the search's data.
        reading: as `described` gives it.
        is_labelled: whether what is to be predicted must be there.

    Raises:
        ValueError: with one line, for what can't be read.
        FileNotFoundError: for a file that is missing.
    """
    count = 0
    for batch in _batches(source, reading, is_labelled):
        count += len(batch)
        yield batch
    if not count:
        name = table_files.name_of(source)
        raise ValueError(f"{name} has no examples that can be read; give at least one.")


def _batches(source: Any, reading: Mapping[str, Any], is_labelled: bool) -> Iterator[Batch]:
    form = reading.get("form")
    if form == TABLE:
        _check_table(source)
    if isinstance(source, (str, Path)) and not Path(source).exists():
        raise FileNotFoundError(f"There is no file {source}.")
    if form == TABLE:
        yield from _of_table(source, TableForm.of(reading), is_labelled)
    elif form == IMAGES:
        yield from _of_images(Path(source), reading["image_size"], is_labelled)
    else:
        yield _of_arrays(Path(source), is_labelled)


def read_ahead(batches: Iterator[Batch], most: int = AHEAD) -> Iterator[Batch]:
    """The same batches, the first of which are read at once, so that what is wrong with them is
    told before a model is loaded.

    Args:
        batches: new examples.
        most: bytes of inputs from which on no further batch is read at once.

    Raises:
        ValueError, FileNotFoundError: with one line, for what can't be read.
    """
    first, size = [], 0
    for batch in batches:
        first.append(batch)
        size += batch.num_bytes
        if size >= most:
            break
    return itertools.chain(first, batches)


def class_numbers(y: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Integer classes `[n]` of labels as they are in a file or an array.

    Args:
        y: labels `[n]`, or `[n, 1]`.
        classes: their names, in order.

    Raises:
        ValueError: naming labels that are no classes.

    Example:
        >>> class_numbers(np.array(["b", "a"]), ["a", "b"]).tolist()
        [1, 0]
    """
    names = [str(each) for each in y.reshape(len(y)).tolist()]
    known = {name: number for number, name in enumerate(classes)}
    if strangers := sorted(set(names) - set(known)):
        raise ValueError(
            f"The data have labels that are no class: {', '.join(strangers[:5])}; the classes are "
            f"{', '.join(list(known)[:20])}."
        )
    return np.array([known[name] for name in names])


def _of_table(source: Any, form: TableForm, is_labelled: bool) -> Iterator[Batch]:
    what, before = table_files.name_of(source), 0
    for cells in table_files.chunks(source, ROWS_AT_ONCE):
        batch = form.batch(cells, what, is_labelled, before)
        before += len(batch)
        yield batch


def _of_images(path: Path, image_size: int, is_labelled: bool) -> Iterator[Batch]:
    files = image_folders.all_files(path)
    for start in range(0, len(files), IMAGES_AT_ONCE):
        some = files[start : start + IMAGES_AT_ONCE]
        x, read, notes = image_folders.pixels(some, image_size, skip_broken=not is_labelled)
        if not len(read):
            continue
        names = np.array([str(each) for each in read], object)
        y = image_folders.classes_of(path, read) if is_labelled else None
        yield Batch(x, {"file": names}, y, notes)


def images(given: Any, image_size: int) -> np.ndarray:
    """Images in memory, or files of them, of any size, as bytes `[n, image_size, image_size, 3]`.

    Args:
        given: an array `[n, height, width]` or `[n, height, width, channels]`, or a list of images
            or of paths, each of its own size.
        image_size: height and width that they are resized to, in pixels.

    Raises:
        ValueError: with one line, for a single image, and for what is none.

    Example:
        >>> images([np.zeros([3, 5, 3], np.uint8), np.zeros([4, 4], np.uint8)], 2).shape
        (2, 2, 2, 3)
    """
    if isinstance(given, list) and given and all(isinstance(each, (str, Path)) for each in given):
        return image_folders.pixels([Path(each) for each in given], image_size)[0]
    shape = () if isinstance(given, list) else np.shape(given)
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        raise ValueError(f"The shape {shape} is that of one image: give several, as in x[None].")
    found = [image_files.resized(each, image_size) for each in given]
    if not found:
        raise ValueError("There are no images; give at least one.")
    return np.stack(found)


def _of_arrays(path: Path, is_labelled: bool) -> Batch:
    """A `.npz` with `x`, or `x_test`, and for labelled examples `y` or `y_test`."""
    if path.suffix != ".npz":
        raise ValueError(
            f"`data` ({path}) must be a .npz with an array `x`, as the search was on arrays."
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    x = next((arrays[name] for name in ("x", "x_test") if name in arrays), None)
    y = next((arrays[name] for name in ("y", "y_test") if name in arrays), None)
    if x is None or (is_labelled and y is None):
        wanted = "`x` and `y`" if is_labelled else "`x`"
        raise ValueError(f"{path} must have {wanted}; its arrays are: {', '.join(arrays)}.")
    return Batch(x, {}, y if is_labelled else None)
