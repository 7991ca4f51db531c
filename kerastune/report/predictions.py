"""Predictions of models for the validation and test part, kept for the report."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np

MOST_MISTAKES = 24  # that are kept, with their pictures or rows


@dataclasses.dataclass(frozen=True)
class Mistakes:
    """The worst mistakes of the final model, and what these examples look like.

    Args:
        part: whose examples these are: `"test"`, `"validation"`, or `"held-out"` of folds.
        indices: of the examples `[k]`, the worst first.
        pictures: `[k, height, width, 1 or 3]` in 0 to 255, when the inputs are images; else `None`.
        columns: names of the inputs' columns, when they are a table; else empty.
        rows: their values as texts `[k, columns]`.
    """

    part: str
    indices: np.ndarray
    pictures: np.ndarray | None = None
    columns: tuple[str, ...] = ()
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros([0, 0], np.str_))


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Outputs of several models on the same parts, with what is true.

    Args:
        class_names: names of the classes in their order; empty for regression.
        true: by part (`"validation"`, `"test"`; `"held-out"` of folds), integer classes `[n]`, or
            numbers in the user's units `[n, outputs]`.
        outputs: by model (`"baseline"`, `"final"` …) and part, probabilities `[n, classes]`, or
            numbers as `true`.
        final: the model that is exported, and whose mistakes are shown.
        mistakes: of that model.

    Example:
        >>> outputs = {"final": {"test": np.array([[0.9, 0.1]], np.float32)}}
        >>> kept = Predictions(("a", "b"), {"test": np.array([1])}, outputs, "final")
        >>> Predictions.from_bytes(kept.to_bytes()).outputs["final"]["test"].round(1).shape
        (1, 2)
    """

    class_names: tuple[str, ...]
    true: dict[str, np.ndarray]
    outputs: dict[str, dict[str, np.ndarray]]
    final: str
    mistakes: Mistakes | None = None

    @property
    def part(self) -> str:
        """The part that tells how good the models are: test, where there is one."""
        return "test" if "test" in self.true else next(iter(self.true))

    @property
    def is_classification(self) -> bool:
        """Whether outputs are probabilities of classes."""
        return bool(self.class_names)

    def to_bytes(self) -> bytes:
        """A compressed `.npz` archive without pickles."""
        arrays = {"class_names": np.array(self.class_names, np.str_), "final": np.array(self.final)}
        arrays |= {f"true/{part}": values for part, values in self.true.items()}
        for model, parts in self.outputs.items():
            arrays |= {f"outputs/{part}/{model}": values for part, values in parts.items()}
        if self.mistakes is not None:
            found = dataclasses.asdict(self.mistakes)
            arrays |= {
                f"mistakes/{name}": np.asarray(value)
                for name, value in found.items()
                if value is not None
            }
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Predictions:
        """What `to_bytes` wrote; nothing is unpickled.

        Raises:
            ValueError: for bytes that it did not write.
        """
        try:
            return cls._from_bytes(data)
        except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"predictions.npz is damaged ({why}): delete the file.") from error

    @classmethod
    def _from_bytes(cls, data: bytes) -> Predictions:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive}
        true, outputs, mistakes = {}, {}, {}
        for name, array in arrays.items():
            group, _, rest = name.partition("/")
            if group == "true":
                true[rest] = array
            elif group == "outputs":
                part, _, model = rest.partition("/")
                outputs.setdefault(model, {})[part] = array
            elif group == "mistakes":
                mistakes[rest] = array
        if mistakes:
            mistakes |= {
                "part": str(mistakes["part"]),
                "columns": tuple(mistakes["columns"].tolist()),
            }
        names = tuple(arrays["class_names"].tolist())
        return cls(
            names, true, outputs, str(arrays["final"]), Mistakes(**mistakes) if mistakes else None
        )
