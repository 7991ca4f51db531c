"""Warm-up requests, which TensorFlow Serving sends to a new version before it answers anyone.

They are records of `tensorflow.serving.PredictionLog`. The messages belong to
`tensorflow-serving-api`, which nothing else here needs, so the few fields that a request has are
encoded by hand; a test parses them with the real messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

FILE = "tf_serving_warmup_requests"
MOST_RECORDS = 1000  # with more, the server refuses to load the model

# Numbers of the fields, from tensorflow_serving/apis: prediction_log.proto, predict.proto and
# model.proto.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS, _KEY, _VALUE = 1, 2, 1, 2
_NAME, _SIGNATURE_NAME = 1, 3


def write(
    directory: Path, model_name: str, requests: Sequence[tuple[str, Mapping[str, np.ndarray]]]
) -> None:
    """Writes requests as the file that the server looks for.

    Args:
        directory: `assets.extra` of a SavedModel.
        model_name: name under which the model is served.
        requests: signature and named inputs of each, at most 1000.
    """
    if len(requests) > MOST_RECORDS:
        raise ValueError(
            f"`requests` must be at most {MOST_RECORDS}, got {len(requests)}: leave some out."
        )
    with tf.io.TFRecordWriter(str(directory / FILE)) as writer:
        for signature, inputs in requests:
            writer.write(prediction_log(model_name, signature, inputs))


def prediction_log(model_name: str, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A serialized `PredictionLog` that asks a signature of a model for its outputs.

    Example:
        >>> prediction_log("m", "s", {})
        b'2\\n\\n\\x08\\n\\x06\\n\\x01m\\x1a\\x01s'
    """
    request = _field(
        _MODEL_SPEC,
        _field(_NAME, model_name.encode()) + _field(_SIGNATURE_NAME, signature.encode()),
    )
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(_INPUTS, _field(_KEY, name.encode()) + _field(_VALUE, tensor))
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """A field with a length: protobuf's wire type 2."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
