"""Warm-up requests, parsed with TensorFlow Serving's own messages."""

import numpy as np
import pytest
import tensorflow as tf

from kerastune.export import warmup


def test_the_servers_own_messages_read_back_what_was_written(tmp_path):
    messages = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not here: pip install -e '.[serving]'",
    )
    requests = [
        (
            "serving_default",
            {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": np.array([[0.5], [np.nan]])},
        ),
        ("serving_bytes", {"image_bytes": np.array([b"\x89PNG" * 100, b""], object)}),
    ]
    warmup.write(tmp_path, "a-name", requests)
    records = [
        record.numpy()
        for record in tf.data.TFRecordDataset(str(tmp_path / "tf_serving_warmup_requests"))
    ]
    assert len(records) == len(requests)
    for record, (signature, inputs) in zip(records, requests, strict=True):
        log = messages.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("a-name", signature)
        assert set(request.inputs) == set(inputs)
        for name, x in inputs.items():
            np.testing.assert_array_equal(tf.make_ndarray(request.inputs[name]), x)


def test_long_fields_have_lengths_of_several_bytes():
    log = warmup.prediction_log("m" * 300, "s", {})
    assert log[:1] == b"\x32" and len(log) == 300 + 3 + 3 + 3 + 3 + 3


def test_more_records_than_the_server_takes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at most 1000"):
        warmup.write(tmp_path, "m", [("s", {})] * 1001)
    assert not list(tmp_path.iterdir())
