"""Uses the final model of a search on new data, with scikit-learn's conventions."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.analysis import error_analysis, intervals, rare_class
from kerastune.data import new_data, user_inputs
from kerastune.data.new_data import IMAGES, TABLE, Batch, TableForm
from kerastune.data.readers import table_files
from kerastune.models import output_kind, saved_models
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.problem import OTHER
from kerastune.recipe import Recipe
from kerastune.study.run_directory import RunDir


def load(output_dir: str | os.PathLike) -> Predictor:
    """The final model of a finished search, ready for new data.

    Args:
        output_dir: of the search.

    Raises:
        ValueError: where no search has finished, or its model can't be loaded.

    Example:
        >>> found = load("people-out")  # doctest: +SKIP
        >>> found.predict(frame), found.predict_proba(frame)  # doctest: +SKIP
    """
    run_dir = RunDir(Path(output_dir).expanduser())
    path = saved_models.to_use(run_dir)
    if path is None or not run_dir.inputs.is_file():
        raise ValueError(
            f"`output_dir` ({run_dir.path}) holds no finished search: let `kerastune tune` finish."
        )
    about = json.loads(run_dir.inputs.read_text(encoding="utf-8"))
    return Predictor(run_dir, path, saved_models.load(path, about["model"]), about)


@dataclasses.dataclass(frozen=True)
class Predictor:
    """The final model of a search, what its inputs are, and how it was found.

    Args:
        run_dir: the search's output directory.
        path: of the model's file.
        model: the Keras model; it takes raw inputs.
        about: what `inputs.json` holds.
    """

    run_dir: RunDir
    path: Path
    model: Any
    about: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`"classification"`, `"regression"` or `"other"`."""
        return self.about["kind"]

    @property
    def classes_(self) -> np.ndarray:
        """Names of the classes `[classes]`, in the order of the probabilities."""
        if self.kind != "classification":
            raise AttributeError(f"a model of kind {self.kind} has no classes.")
        return np.array(self.about["classes"])

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe that was found."""
        return Recipe.from_dict(json.loads(self.run_dir.recipe.read_text(encoding="utf-8")))

    @functools.cached_property
    def decisions(self) -> list[Decision]:
        """What every stage decided, in their order."""
        lines = self.run_dir.decisions.read_text(encoding="utf-8").splitlines()
        return [registry.decision(json.loads(line)) for line in lines]

    def predict(self, x: Any) -> np.ndarray:
        """Classes as they were named `[n]`, or numbers `[n]` or `[n, outputs]`.

        Args:
            x: a DataFrame, a dict of columns or the path of a file for a table; the path of a
                folder or file of images, or images of any size in an array or a list; else arrays
                as the model takes them.

        Raises:
            ValueError: with one line, for data of another form.
        """
        return self.labels(self._outputs_of(x))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities `[n, classes]`, in the order of `classes_`.

        Raises:
            AttributeError: for a model that predicts no classes.
            ValueError: with one line, for data of another form.
        """
        _ = self.classes_
        return self._outputs_of(x)

    def labels(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions as people read them, of what `outputs` gives."""
        if self.kind == "classification":
            return self.classes_[outputs.argmax(axis=1)]
        is_single = outputs.ndim == 2 and outputs.shape[1] == 1
        return outputs[:, 0] if is_single else outputs

    def outputs(self, inputs: Any) -> Any:
        """Probabilities `[n, classes]`, or what else the model gives for raw inputs."""
        if self.kind == OTHER:
            return self.model.predict(inputs, verbose=0)
        found = output_kind.predict(self.model, _as_given(inputs))
        if self.kind != "classification":
            return found.reshape(len(found), -1)
        return error_analysis.probabilities(found, self._gives_logits)

    def batches(self, source: Any, is_labelled: bool = False) -> Iterator[Batch]:
        """New examples of the form of the search's data, some thousands at a time.

        Raises:
            ValueError, FileNotFoundError: with one line, for what can't be read.
        """
        return new_data.batches(source, self.about["reading"], is_labelled)

    def evaluate(self, source: Any) -> dict[str, dict[str, float]]:
        """Metrics on labelled data with their 95 % intervals, by name.

        Args:
            source: the path of data with what is to be predicted, or a DataFrame.

        Returns:
            By metric `{"value", "low", "high"}`.

        Raises:
            ValueError: with one line, for what can't be read or judged.
        """
        if self.kind == OTHER:
            raise ValueError("These targets are judged by the model's own loss: use its evaluate.")
        return self.measured(*self.judged(source))

    def measured(self, true: np.ndarray, outputs: np.ndarray) -> dict[str, dict[str, float]]:
        """Metrics with their 95 % intervals of what `judged` gives."""
        if self.kind != "classification":
            return intervals.of_numbers(true, outputs)
        return intervals.of_classes(true, outputs)

    def judged(self, source: Any) -> tuple[np.ndarray, np.ndarray]:
        """What is true of labelled data, and what the model gives.

        Args:
            source: as `evaluate` takes it.

        Returns:
            Integer classes `[n]` and probabilities `[n, classes]`, or numbers `[n, outputs]` twice.
        """
        return self.judged_batches(self.batches(source, True))

    def judged_batches(self, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray]:
        """As `judged`, of labelled examples that are read already, or as they are asked for."""
        found = [(batch.y, self.outputs(batch.inputs)) for batch in batches]
        y, outputs = (np.concatenate(each) for each in zip(*found, strict=True))
        if self.kind != "classification":
            return y.reshape(len(y), -1), outputs
        return self.class_numbers(y), outputs

    def rare_class(self, true: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """How well the rarer of two classes is found, as `analysis.rare_class.figures` has it.

        The threshold is that of the search's validation part; without figures of one where none
        is known for this model and class, since one that was chosen here would flatter.

        Args:
            true: as `judged` gives it.
            outputs: likewise.

        Returns:
            Empty where there are not two classes with examples of both.
        """
        if self.kind != "classification" or len(self.classes_) != 2 or len(np.unique(true)) < 2:
            return {}
        threshold = self._threshold(true)
        found = rare_class.figures(true, outputs, threshold)
        if threshold is not None:
            return found
        return {name: value for name, value in found.items() if not name.startswith("threshold")}

    def _threshold(self, true: np.ndarray) -> float | None:
        """The search's threshold, if it is of this model, and of the class that is rarer here."""
        known = json.loads(self.run_dir.result.read_text(encoding="utf-8"))
        found = known.get("rare_class", {}).get("validation")
        is_same = found and found["class"] == rare_class.of(true)
        is_own = known.get("rare_class_model") == known.get("exported", {}).get("model")
        return found["threshold"] if is_same and is_own else None

    def class_numbers(self, y: np.ndarray) -> np.ndarray:
        """Integer classes `[n]` of labels as they are in a file or an array.

        Raises:
            ValueError: naming labels that are no classes.
        """
        return new_data.class_numbers(y, self.about["classes"])

    @property
    def _gives_logits(self) -> bool:
        return self.about["gives_logits"] and self.path == self.run_dir.model

    def _outputs_of(self, x: Any) -> np.ndarray:
        if isinstance(x, (str, Path)) or user_inputs.is_frame(x):
            found = [self.outputs(batch.inputs) for batch in self.batches(x)]
            return np.concatenate(found)
        reading = self.about["reading"]
        if reading.get("form") == TABLE and isinstance(x, dict):
            cells = {str(name): table_files.cells(values) for name, values in x.items()}
            return self.outputs(TableForm.of(reading).batch(cells, "The table").inputs)
        if reading.get("form") == IMAGES and not isinstance(x, dict):
            return self.outputs(new_data.images(x, reading["image_size"]))
        return self.outputs(x)


def _as_given(inputs: Any) -> Any:
    """Inputs with texts as Keras takes them."""
    if isinstance(inputs, dict):
        return {name: _as_given(array) for name, array in inputs.items()}
    is_text = isinstance(inputs, np.ndarray) and inputs.dtype.kind in "UO"
    return inputs.astype(object)[:, None] if is_text and inputs.ndim == 1 else inputs
