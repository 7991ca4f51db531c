"""Warm-up requests, which TensorFlow Serving sends to a new version before it answers anyone.

They are records of `tensorflow.serving.PredictionLog`. The messages belong to
`tensorflow-serving-api`, which nothing else here needs, so the few fields that a request has are
encoded by hand; a test parses them with the real messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework.tensor_pb2 import TensorProto

FILE = "tf_serving_warmup_requests"
MOST_RECORDS = 1000  # with more, the server refuses to load the model

# Numbers of the fields, from tensorflow_serving/apis: prediction_log.proto, predict.proto and
# model.proto.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS, _KEY, _VALUE = 1, 2, 1, 2
_NAME, _SIGNATURE_NAME = 1, 3
_VARINT, _WITH_LENGTH, _FIXED = 0, 2, {1: 8, 5: 4}  # protobuf's wire types, bytes of the fixed ones


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


def read(path: Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The requests of a file of `write`'s or the server's own recording: signature and inputs.

    What is no request for predictions is left out.

    Raises:
        ValueError: for a file that holds something else.
    """
    try:
        records = [each.numpy() for each in tf.data.TFRecordDataset(str(path))]
        found = [_request(record) for record in records]
    except (tf.errors.OpError, DecodeError, LookupError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} holds no requests: record them again.") from error
    return [each for each in found if each[1]]


def _request(record: bytes) -> tuple[str, dict[str, np.ndarray]]:
    signature, inputs = "serving_default", {}
    for log in _contents(record, _PREDICT_LOG):
        for request in _contents(log, _REQUEST):
            for spec in _contents(request, _MODEL_SPEC):
                for name in _contents(spec, _SIGNATURE_NAME):
                    signature = name.decode()
            for entry in _contents(request, _INPUTS):
                key, value = (next(_contents(entry, each), b"") for each in (_KEY, _VALUE))
                inputs[key.decode()] = tf.make_ndarray(TensorProto.FromString(value))
    return signature, inputs


def _contents(message: bytes, number: int) -> Iterator[bytes]:
    """What the fields of a number hold that have a length; fields of other kinds are passed over.

    Example:
        >>> [*_contents(_field(1, b"a") + _field(2, b"b") + _field(1, b"c"), 1)]
        [b'a', b'c']
    """
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind = tag & 7
        if kind == _WITH_LENGTH:
            length, place = _read_varint(message, place)
            if tag >> 3 == number:
                yield message[place : place + length]
            place += length
        elif kind == _VARINT:
            _, place = _read_varint(message, place)
        else:
            place += _FIXED[kind]


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, place = message[place], place + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _field(number: int, content: bytes) -> bytes:
    """A field with a length."""
    return _varint(number << 3 | _WITH_LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
