"""What TensorBoard's own reader finds in what was written."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from kerastune.report.figures import plotting
from kerastune.runtime import tensorboard_writer
from kerastune.runtime.tensorboard_writer import Board


def read(log_dir):
    events = EventAccumulator(str(log_dir), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


@pytest.fixture
def board(tmp_path):
    made = Board(tmp_path)
    yield made
    made.close()


def test_scalars(board, tmp_path):
    board.scalars(3, {"a/loss": 0.5, "b": np.float64(2)})
    board.scalars(7, {"a/loss": float("nan")})
    board.flush()
    events = read(tmp_path)
    assert set(events.Tags()["scalars"]) == {"a/loss", "b"}
    assert [(e.step, e.value) for e in events.Scalars("b")] == [(3, 2.0)]
    first, second = events.Scalars("a/loss")
    assert (first.step, first.value, second.step) == (3, 0.5, 7) and np.isnan(second.value)


def test_curves_run_from_their_start(board, tmp_path):
    values = {
        "loss": np.array([3.0, 2.0, 1.5], np.float32),
        "accuracy": np.array([0.1, 0.2, 0.3], np.float32),
    }
    board.curves(40, values)
    board.curves(43, {name: array[:1] for name, array in values.items()})
    board.flush()
    for name, expected in values.items():
        rows = read(tmp_path).Scalars(name)
        assert [row.step for row in rows] == [40, 41, 42, 43]
        np.testing.assert_array_equal(
            np.float32([row.value for row in rows]), [*expected, expected[0]]
        )


def test_nothing_is_a_curve_too(board):
    board.curves(0, {})
    board.curves(0, {"loss": np.zeros(0)})


def hparams(events, tag):
    return plugin_data_pb2.HParamsPluginData.FromString(
        events.SummaryMetadata(tag).plugin_data.content
    )


def test_hyperparameters_keep_their_types(board, tmp_path):
    values = {
        "rate": 0.1,
        "units": 8,
        "nesterov": True,
        "kind": "cnn",
        "none": None,
        "pair": (1, 2),
    }
    board.hyperparameters("lr-01", values)
    board.flush()
    started = hparams(read(tmp_path), "_hparams_/session_start_info").session_start_info
    assert started.group_name == "lr-01"
    found = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in started.hparams.items()
    }
    assert found == {
        "rate": 0.1,
        "units": 8,
        "nesterov": True,
        "kind": "cnn",
        "none": "None",
        "pair": "(1, 2)",
    }


def test_the_columns_of_an_experiment(board, tmp_path):
    board.experiment(["rate", "hp/units"], ["validation/accuracy"])
    board.flush()
    columns = hparams(read(tmp_path), "_hparams_/experiment").experiment
    assert [info.name for info in columns.hparam_infos] == ["rate", "hp/units"]
    assert [info.name.tag for info in columns.metric_infos] == ["validation/accuracy"]


def test_text_and_image(board, tmp_path):
    figure = plotting.panels(plotting.HEIGHT)[0]
    png = plotting.png(figure)
    board.text("decision/lr", "because **0.1**")
    board.image("figure/lr", png)
    board.flush()
    events = read(tmp_path)
    (tag,) = events.Tags()["tensors"]
    assert tag.startswith("decision/lr")
    assert events.Tensors(tag)[0].tensor_proto.string_val == [b"because **0.1**"]
    (image,) = events.Images("figure/lr")
    assert image.encoded_image_string == png
    assert (image.width, image.height) == tuple(
        round(plotting.DOTS * side) for side in figure.get_size_inches()
    )


def test_ratios_of_layers_and_of_the_whole():
    found = tensorboard_writer.ratios(["a", "b"], np.array([0.3, 0.4]), np.array([3.0, 4.0]))
    expected = {
        "weight_update_ratio/a": 0.1,
        "weight_update_ratio/b": 0.1,
        "weight_update_ratio/whole_model": 0.1,
    }
    assert found == pytest.approx(expected)
    zero = tensorboard_writer.ratios(["a"], np.array([0.0]), np.array([0.0]))
    assert zero == {"weight_update_ratio/a": 0.0, "weight_update_ratio/whole_model": 0.0}
