"""Signatures of a served Keras model: raw inputs in, named outputs out."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.data import preprocessing, tabular
from kerastune.data.images import Picture, picture
from kerastune.models import fixed_batches, output_kind

DEFAULT, BYTES = "serving_default", "serving_bytes"
IMAGE_BYTES = "image_bytes"
MOST_EXAMPLES = 64
TOLERANCE = 1e-5  # of probabilities; of predictions times the largest, if that is above 1
_UNKNOWN_SIDE = 32  # of inputs made up for a dimension that the model leaves open
_NAMED_BY_KERAS = re.compile(r"(keras_tensor|input_layer|input)(_\d+)?(CLONE)?")


class Service:
    """A model and the signatures under which it is asked.

    `serving_default` takes batched tensors under the names of the model's inputs (a single one that
    Keras named is called `inputs`); `serving_bytes`, for images, encoded JPEGs and PNGs under
    `image_bytes`. A classifier gives `probabilities [n, classes]` (of logits, and of a single
    output for class 1, too), `classes [n]` and, where names are known, `labels [n]`; one of several
    labels an example `probabilities` and `classes [n, labels]`, 0 or 1 each; any other model
    `predictions`.

    Args:
        model: a built Keras model with one output.
        class_names: names of the classes in the order of the integer labels.
        examples: raw inputs as the model takes them, the first 64 of which are used to compare and
            to warm up; random numbers without them.
        image: as `pictures.picture` takes it.

    Raises:
        ValueError: for a model that can't be served so, or names or examples that do not fit it.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")])
        >>> service = Service(model, class_names=("a", "b", "c"))
        >>> sorted(service.answer(service.examples))
        ['classes', 'labels', 'probabilities']
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str] = (),
        examples: Any = None,
        image: Any = None,
    ):
        self.model = _with_inputs(model, examples)
        self.class_names = tuple(class_names)
        self._structure = structure_of(self.model)
        self.inputs = named_inputs(self._structure)
        self.examples = self.named(examples) if examples is not None else _made_up(self.inputs)
        self.classifies = bool(class_names) or output_kind.is_classifier(model)
        self.has_several_labels = not class_names and output_kind.has_several_labels(model)
        self.num_outputs = self._check_outputs()
        self.gives_logits = self.classifies and output_kind.gives_logits(
            model, self.structured(self.examples)
        )
        self.picture = self._find_picture(image, self.examples if examples is not None else None)

    def answer(self, named: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """The outputs by name, for inputs by name."""
        outputs = tf.cast(self.model(self.structured(named), training=False), tf.float32)
        if not self.classifies:
            return {"predictions": outputs}
        if self.gives_logits:
            is_one = self.num_outputs > 1 and not self.has_several_labels
            outputs = tf.nn.softmax(outputs) if is_one else tf.sigmoid(outputs)
        if self.has_several_labels:
            return {"probabilities": outputs, "classes": tf.cast(outputs > 0.5, tf.int64)}
        if self.num_outputs == 1:
            outputs = tf.concat([1 - outputs, outputs], axis=-1)
        classes = tf.argmax(outputs, axis=-1)
        labels = (
            {"labels": tf.gather(tf.constant(self.class_names), classes)}
            if self.class_names
            else {}
        )
        return {"probabilities": outputs, "classes": classes, **labels}

    def write(self, directory: Path) -> None:
        """Writes a SavedModel with all signatures."""
        archive = keras.export.ExportArchive()
        archive.track(self.model)
        specs = [tf.TensorSpec(x.shape, x.dtype, name) for name, x in self.inputs.items()]
        archive.add_endpoint(
            DEFAULT,
            lambda *tensors: self.answer(dict(zip(self.inputs, tensors, strict=True))),
            specs,
        )
        if self.picture is not None:
            (name,) = self.inputs
            encoded = [tf.TensorSpec((None,), tf.string, IMAGE_BYTES)]
            archive.add_endpoint(
                BYTES, lambda images: self.answer({name: self.picture.decode(images)}), encoded
            )
        archive.write_out(str(directory), verbose=False)

    def with_model(self, model: keras.Model) -> Service:
        """The same signatures for another model of the same inputs and outputs."""
        changed = copy.copy(self)
        changed.model = model
        return changed

    def requests(self, count: int = MOST_EXAMPLES) -> dict[str, dict[str, np.ndarray]]:
        """Named inputs for every signature: those of the first examples."""
        fixed = fixed_batches.size_of(self.model)
        named = {name: x[: fixed or count] for name, x in self.examples.items()}
        requests = {DEFAULT: named}
        if self.picture is not None:
            (x,) = named.values()
            requests[BYTES] = {IMAGE_BYTES: np.array(self.picture.encode(x), object)}
        return requests

    def check(self, directory: Path) -> None:
        """Loads what was written and compares it with the Keras model on the examples.

        Raises:
            ValueError: if an output differs by more than `TOLERANCE`.
        """
        loaded = tf.saved_model.load(str(directory))
        for signature, request in self.requests().items():
            found = loaded.signatures[signature](
                **{name: tf.constant(x) for name, x in request.items()}
            )
            # What the encoded images hold, decoded outside of what was written.
            if signature == BYTES:
                request = {
                    name: self.picture.decode(tf.constant(request[IMAGE_BYTES]))
                    for name in self.inputs
                }
            difference = _difference(found, self.answer(request))
            if not difference <= TOLERANCE:
                raise ValueError(
                    f"`{signature}` of the exported model differs from the Keras model by "
                    f"{difference:.2g} on the same inputs, expected at most {TOLERANCE:g}; nothing "
                    "was exported. Is a layer random at inference?"
                )

    def structured(self, named: Mapping[str, Any]) -> Any:
        """Inputs by name, arranged as the model takes them."""
        return keras.tree.pack_sequence_as(self._structure, [named[name] for name in self.inputs])

    def named(self, examples: Any, most: int | None = MOST_EXAMPLES) -> dict[str, np.ndarray]:
        """Inputs by name, of the first examples as the model takes them; raises `ValueError`.

        With `most=None` of all, also where the model takes batches of one size.
        """
        if isinstance(self._structure, dict):
            missing = self._structure.keys() - (
                examples.keys() if isinstance(examples, Mapping) else ()
            )
            if missing:
                raise ValueError(
                    "`examples` must be a dict with the model's inputs; missing: "
                    f"{sorted(missing)}."
                )
            examples = {key: examples[key] for key in self._structure}
        flat = keras.tree.flatten(examples)
        named = {}
        for (name, tensor), x in zip(self.inputs.items(), flat, strict=True):
            x = np.asarray(x)
            x = x if most is None else fixed_batches.few(x, most, self.model)
            x = _as_type(x, tensor.dtype)
            if len(x.shape) != len(tensor.shape) or any(
                side not in (None, given)
                for side, given in zip(tensor.shape[1:], x.shape[1:], strict=True)
            ):
                raise ValueError(
                    f"`examples` of `{name}` must be [n, {', '.join(map(str, tensor.shape[1:]))}], "
                    f"got {list(x.shape)}."
                )
            named[name] = x
        return named

    def _check_outputs(self) -> int:
        outputs = keras.tree.flatten(self.model.outputs)
        rank = 2 if self.classifies else 1
        if (
            len(outputs) != 1
            or len(outputs[0].shape) < rank
            or (self.classifies and len(outputs[0].shape) > rank)
        ):
            shapes = [list(output.shape) for output in outputs]
            remedy = "; of several, use model.export(...)" if len(outputs) > 1 else ""
            what = f"{shapes}{remedy}"
            raise ValueError(
                f"The model must have one output, [n, classes] of a classifier, got {what}."
            )
        num_outputs = outputs[0].shape[-1]
        if self.class_names and len(self.class_names) != max(num_outputs, 2):
            raise ValueError(
                f"`class_names` must name the model's {max(num_outputs, 2)} classes, got "
                f"{len(self.class_names)}."
            )
        return num_outputs

    def _find_picture(
        self, image: Any, examples: Mapping[str, np.ndarray] | None
    ) -> Picture | None:
        if len(self.inputs) > 1:
            if image:
                raise ValueError(
                    f"`image` was given, but the model has {len(self.inputs)} inputs: leave it out."
                )
            return None
        ((name, tensor),) = self.inputs.items()
        x = None if examples is None else examples[name]
        size, shape = preprocessing.training_size(self.model), tuple(tensor.shape[1:])
        shape = shape if size is None else (*size, *shape[2:])
        return picture(shape, keras.backend.standardize_dtype(tensor.dtype), image, x)


def input_names(inputs: Sequence[keras.KerasTensor]) -> list[str]:
    """Names of a model's inputs; those that Keras chose tell of what else was built before, and
    become `inputs`, or `inputs_0`, `inputs_1` ... of several.

    Example:
        >>> input_names([keras.Input([1]), keras.Input([1], name="width")])
        ['inputs_0', 'width']
    """
    many = len(inputs) > 1
    numbered = [f"inputs_{number}" if many else "inputs" for number in range(len(inputs))]
    return [
        number if _NAMED_BY_KERAS.fullmatch(tensor.name) else tensor.name
        for tensor, number in zip(inputs, numbered, strict=True)
    ]


def named_inputs(structure: Any) -> dict[str, keras.KerasTensor]:
    """Inputs under the names by which they are served, in the order of Keras's flattened structure.

    Names of a dict are made safe for TensorFlow; a name that Keras chose itself becomes `inputs`,
    or `inputs_0`, `inputs_1` ... of several.

    Example:
        >>> list(named_inputs({"petal length": keras.Input([1]), "width": keras.Input([1])}))
        ['petal_length', 'width']
    """
    flat = keras.tree.flatten(structure)
    if isinstance(structure, dict):
        given = keras.tree.flatten({key: key for key in structure})
    else:
        given = input_names(flat)
    names = [tabular.safe_name(str(name)) for name in given]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Some of the model's inputs {given} differ only in characters that a signature can't "
            "keep."
        )
    return dict(zip(names, flat, strict=True))


def _with_inputs(model: keras.Model, examples: Any) -> keras.Model:
    """The model, or one around it where it does not know its inputs.

    A subclassed one does not.
    """
    if getattr(model, "inputs", None):
        return model
    if examples is None:
        raise ValueError(
            f"Model `{model.name}` does not know the shapes of its inputs: give `examples`."
        )
    arrays = keras.tree.map_structure(np.asarray, examples)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), arrays
    )
    return keras.Model(inputs, model(inputs))


def structure_of(model: keras.Model) -> Any:
    """The model's inputs as its builder arranged them."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _made_up(inputs: Mapping[str, keras.KerasTensor]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    made = {}
    for name, tensor in inputs.items():
        shape = (tensor.shape[0] or 2, *(side or _UNKNOWN_SIDE for side in tensor.shape[1:]))
        high = 256 if tensor.dtype == "uint8" else 2
        x = (
            generator.normal(size=shape)
            if "float" in tensor.dtype
            else generator.integers(0, high, shape)
        )
        made[name] = _as_type(x, tensor.dtype)
    return made


def _as_type(x: np.ndarray, dtype: str) -> np.ndarray:
    if dtype != "string":
        return x.astype(tf.as_dtype(dtype).as_numpy_dtype)
    encoded = [text if isinstance(text, bytes) else str(text).encode() for text in x.ravel()]
    return np.array(encoded, object).reshape(x.shape)


def _difference(found: Mapping[str, tf.Tensor], expected: Mapping[str, tf.Tensor]) -> float:
    """Largest difference of probabilities, or of predictions relative to the largest."""
    name = "probabilities" if "probabilities" in expected else "predictions"
    a, b = found[name].numpy().astype(np.float64), expected[name].numpy().astype(np.float64)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return np.inf
    with np.errstate(invalid="ignore"):  # the same infinity twice is no difference
        differences = np.where((a == b) | np.isnan(a), 0.0, np.abs(a - b))
    return float(
        differences.max(initial=0.0) / max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0.0))
    )
