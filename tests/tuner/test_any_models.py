"""Searches keep what a user compiled, and refuse models that can't be trained in one line."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastune import PlaybookTuner, Recipe

STAGES = ["baseline", "train"]
RECIPE = Recipe(optimizer="adam", learning_rate=0.03, total_steps=300)
X = np.random.default_rng(4).normal(size=(260, 5)).astype("float32")
Y = np.abs(X[:, :3]).argmax(axis=1)


def searched(directory, build, y, stages=STAGES, budget="1000steps", **data):
    settings = {"budget": budget, "stages": stages, "recipe": RECIPE}
    tuner = PlaybookTuner(build, directory=directory, **settings)
    tuner.search(X, y, verbose=0, **data)
    return tuner


def test_what_was_compiled_is_there_again_and_the_saved_batch_is_open(tmp_path):
    def build(hp):
        model = keras.Sequential([layers.Dense(12, "relu"), layers.Dense(3, "softmax")])
        top2 = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
        model.compile(
            "adam",
            "sparse_categorical_crossentropy",
            metrics=["accuracy", top2],
            weighted_metrics=["sparse_categorical_accuracy"],
            steps_per_execution=4,
            jit_compile=False,
        )
        return model

    tuner = searched(tmp_path, build, Y, class_weight="balanced")
    weights = tuner.latest.problem.class_weight
    counts = np.bincount(tuner.latest.problem.train.y.ravel())
    assert [weights[k] * counts[k] for k in range(3)] == pytest.approx([counts.mean()] * 3)
    for model in (tuner.get_best_models()[0], keras.models.load_model(tuner.run_dir.model)):
        found = model.evaluate(X, Y, verbose=0, return_dict=True)
        assert {*found} == {"loss", "accuracy", "top2", "sparse_categorical_accuracy"}
        assert model.input_shape == (None, 5) and model.jit_compile is False
        assert model.steps_per_execution == 4
    log = tuner.run_dir.log.read_text()
    assert log.count("steps_per_execution=4 is kept for the final model") == 1


def test_compiled_metrics_are_there_again_where_targets_were_standardized(tmp_path):
    def build(hp):
        model = keras.Sequential([keras.Input([5]), layers.Dense(8, "relu"), layers.Dense(1)])
        model.compile("adam", "mse", metrics=["mae", keras.metrics.RootMeanSquaredError("rms")])
        return model

    price = 500 + 90 * X[:, 0]
    model = searched(tmp_path, build, price, standardize_targets=True).get_best_models()[0]
    found = model.evaluate(X, price, verbose=0, return_dict=True)
    assert {*found} == {"loss", "mae", "rms"}
    assert found["loss"] == pytest.approx(found["rms"] ** 2, rel=1e-4) and found["rms"] < 60


@pytest.mark.parametrize("weights", ["even", 3.0])
def test_class_weights_are_a_dict_or_balanced(tmp_path, weights):
    def build(hp):
        return keras.Sequential([keras.Input([5]), layers.Dense(3, "softmax")])

    with pytest.raises(ValueError, match="`class_weight` must be 'balanced' or a dict"):
        searched(tmp_path, build, Y, class_weight=weights)


def test_a_model_that_can_not_learn_is_refused_or_ends_the_search(tmp_path):
    def build(is_frozen):
        def build(hp):
            start = keras.initializers.Constant(-1.0)
            model = keras.Sequential([keras.Input([5]), layers.Dense(4, "relu", name="dead")])
            model.add(layers.Dense(3, "softmax", use_bias=False))
            model.layers[0].kernel_initializer, model.layers[0].bias_initializer = "zeros", start
            model.layers[0].set_weights([np.zeros([5, 4]), -np.ones(4)])
            model.trainable = not is_frozen
            return model

        return build

    with pytest.raises(ValueError, match="no weights to train \\(0 of 36 parameters"):
        searched(tmp_path / "frozen", build(is_frozen=True), Y)
    stages = ["probe", "lr", "train"]
    for _ in range(2):  # a search that goes on says it again
        with pytest.raises(ValueError, match="stage lr: No learning rate moves the loss") as said:
            searched(tmp_path / "dead", build(is_frozen=False), Y, stages, "4000steps")
        assert "\n" not in str(said.value)


class Scales(keras.Model):
    """Adapts a layer when it is built."""

    def __init__(self):
        super().__init__()
        self.scale, self.out = layers.Normalization(), layers.Dense(3, "softmax")

    def build(self, shape):
        self.scale.adapt(100 + 30 * X)
        super().build(shape)

    def call(self, x):
        return self.out(self.scale(x))


def test_layers_that_a_model_adapts_when_it_is_built_are_adapted_in_every_trial(tmp_path):
    def build(hp):
        model = Scales()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    easy = X[:, :3].argmax(axis=1)
    tuner = PlaybookTuner(build, directory=tmp_path, budget="1000steps", stages=STAGES)
    tuner.search(100 + 30 * X, easy, verbose=0)
    model = tuner.get_best_models()[0]
    np.testing.assert_allclose(model.scale.mean[0], 100 + 30 * X.mean(axis=0), rtol=1e-3)
    found = model.evaluate(100 + 30 * X, easy, verbose=0, return_dict=True)
    assert found["accuracy"] > 0.75


@keras.saving.register_keras_serializable("tests")
class Words(keras.Model):
    """Splits texts in its `call`, and tells no shape of its inputs."""

    def __init__(self):
        super().__init__()
        self.split = layers.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad"])
        self.inner = keras.Sequential([layers.Embedding(4, 6), layers.Flatten(), layers.Dense(2)])

    def call(self, x):
        return self.inner(self.split(x))


def test_a_subclass_that_takes_texts_is_searched_to_its_end(tmp_path):
    def build(hp):
        model = Words()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        return model

    words = np.random.default_rng(0).choice(["good", "bad"], size=[260, 3])
    texts = np.array([" ".join(row) for row in words])
    y = ((words == "good").sum(axis=1) > 1).astype(int)
    tuner = PlaybookTuner(build, directory=tmp_path, budget="1000steps", recipe=RECIPE)
    tuner.search(texts, y, verbose=0)
    assert tuner.result["final"]["validation"]["accuracy"] > 0.9
    assert tuner.run_dir.report.is_file()


@pytest.mark.slow
def test_a_stateful_model_is_searched_at_its_own_batch_size_and_in_the_order_given(tmp_path):
    series = np.sin(np.arange(700) / 9).astype("float32")
    x = np.stack([series[i : i + 8] for i in range(650)])[..., None]

    def build(hp):
        lstm = layers.LSTM(6, stateful=True)
        model = keras.Sequential([keras.Input(batch_shape=(16, 8, 1)), lstm, layers.Dense(1)])
        model.compile("adam", "mse", metrics=["mae"])
        return model

    tuner = PlaybookTuner(build, directory=tmp_path, budget="1000steps")
    with pytest.raises(ValueError, match=r"`batch_size` \(8\) is not that of the model's .*16"):
        tuner.search(x, series[8:658], batch_size=8, shuffle=False, verbose=0)
    tuner.search(x, series[8:658], shuffle=False, verbose=0)
    assert tuner.recipe.batch_size == 16
    held_out = tuner.latest.problem.validation
    np.testing.assert_array_equal(held_out.x, x[-len(held_out) :])
    log = tuner.run_dir.log.read_text()
    assert "a batch size of 16: all trainings have it" in log and "Left out: tta" in log
    model = keras.models.load_model(tuner.run_dir.model)
    said = model.predict(held_out.x, 16, verbose=0)[:, 0]
    assert np.mean((said - held_out.y) ** 2) < 0.1 * np.var(held_out.y)
