"""Models that take batches of one size only are looked at, judged and averaged at that size."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.inference import averaging
from kerastune.models import example_losses, fixed_batches, output_kind, scoring
from kerastune.problem import Part

X = np.random.default_rng(0).normal(size=(9, 5, 6)).astype("float32")
Y = X[:, 0, 0]


def glued(size, loss="mse"):
    x = keras.Input(batch_shape=(size, 5, 6))
    model = keras.Model(x, layers.Dense(1)(keras.ops.reshape(x, (size, 30))))
    model.compile("sgd", loss, metrics=["mae"])
    return model


def stateful(size=4):
    gru = layers.GRU(3, stateful=True)
    return keras.Sequential([keras.Input(batch_shape=(size, 5, 6)), gru, layers.Dense(1)])


@pytest.mark.parametrize("size", [4, 16])
def test_all_examples_are_predicted_and_judged(size):
    model, part = glued(size), Part(X, Y)
    kernel, bias = model.get_weights()
    expected = X.reshape(9, 30) @ kernel + bias
    for x in (X, X[:2], X[:1]):
        np.testing.assert_allclose(output_kind.predict(model, x), expected[: len(x)], 1e-4, 1e-5)
    np.testing.assert_allclose(output_kind.outputs_of(model, X[:3]), expected[:3], 1e-4, 1e-5)
    losses = (expected[:, 0] - Y) ** 2
    np.testing.assert_allclose(example_losses.of(model, part), losses, rtol=1e-3)
    # Keras's own metrics are of whole batches: 8 of 9 examples, or 9 and the first 7 once more.
    seen = losses[np.arange(9) if size == 16 else np.arange(8)]
    seen = np.append(seen, losses[:7]) if size == 16 else seen
    assert scoring.measured(model, part)["loss"] == pytest.approx(seen.mean(), rel=1e-3)


def test_a_loss_that_does_not_tell_rows_apart_is_one_of_batches():
    model = glued(4, lambda y, p: keras.ops.mean(keras.ops.abs(keras.ops.reshape(y, (-1, 1)) - p)))
    each = np.abs(output_kind.predict(model, X)[:, 0] - Y)
    expected = [each[:4].mean(), each[4:8].mean()]
    np.testing.assert_allclose(example_losses.of(model, Part(X, Y)), expected, rtol=1e-4)
    model.compile("sgd", "mae", loss_weights=[2.0])  # Keras alone knows what that comes to
    doubled = 2 * np.array(expected)
    np.testing.assert_allclose(example_losses.of(model, Part(X, Y)), doubled, rtol=1e-4)


def test_states_begin_at_zero_for_every_prediction_and_go_on_within_it():
    model = stateful()
    first, again = output_kind.predict(model, X), output_kind.predict(model, X)
    np.testing.assert_array_equal(first, again)
    fixed_batches.reset_states(model)
    by_hand = [model.predict_on_batch(X[:4]), model.predict_on_batch(X[4:8])]
    np.testing.assert_allclose(first[:8], np.concatenate(by_hand), rtol=1e-5)
    assert not np.allclose(first[:4], model.predict_on_batch(X[:4]))


def test_what_is_made_of_such_models_has_their_batch_size():
    mean = averaging.assemble([stateful(), stateful()], [0.5, 0.5], kind="regression")
    assert mean.input_shape == (4, 5, 6) and mean.predict(X[:8], 4, verbose=0).shape == (8, 1)


def test_an_open_batch_and_one_that_a_call_left_are_any():
    assert fixed_batches.size_of(keras.Sequential([keras.Input([5, 6]), layers.Dense(2)])) is None
    called = keras.Sequential([layers.Dense(2)])
    called(X[:1])
    assert fixed_batches.size_of(called) is None and fixed_batches.size_of(stateful(1)) == 1


def test_a_stateful_model_of_unknown_batch_size_is_refused_with_the_remedy():
    model = keras.Sequential([layers.GRU(3, stateful=True, name="memory")])
    with pytest.raises(ValueError, match="`memory` is stateful.*batch_shape=") as caught:
        fixed_batches.check_stateful(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="takes batches of 4 only.*was of 8"):
        fixed_batches.check(stateful(), 8)
