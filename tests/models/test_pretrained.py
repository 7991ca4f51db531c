"""A small model trained on some classes of the digits and moved to the others, for real."""

import json

import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

from kerastune import PlaybookTuner, Recipe
from kerastune.cli import entry
from kerastune.data import preprocessing
from kerastune.data.profiling import profile
from kerastune.models import hypermodels, layer_groups, model_inputs, pretrained
from kerastune.models.hypermodels import Pretrained
from kerastune.problem import Part, Problem


def digits(classes):
    x, y = load_digits(return_X_y=True)
    chosen = np.isin(y, classes)
    return x[chosen].reshape(-1, 8, 8, 1).astype("float32") / 16, y[chosen] - min(classes)


def problem(shape=(8, 8, 1), num_classes=5, kind="classification"):
    part = Part(np.zeros([10, *shape], "float32"), np.arange(10) % num_classes)
    names = tuple("abcdefghij"[:num_classes]) if kind == "classification" else ()
    return Problem("toy", kind, part, part, class_names=names)


def backbone():
    convolution = layers.Conv2D(8, 3, padding="same", use_bias=False)
    inside = [convolution, layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(2)]
    return keras.Sequential(
        [keras.Input([8, 8, 1]), *inside, layers.Conv2D(16, 3, activation="relu")], name="backbone"
    )


def network(num_classes=5):
    """A backbone as one layer under a head."""
    inputs = keras.Input([8, 8, 1], name="image")
    features = layers.Dense(16, "relu", name="hidden")(layers.Flatten()(backbone()(inputs)))
    return keras.Model(inputs, layers.Dense(num_classes, "softmax", name="old")(features))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The path of a model that knows the digits 0 to 4."""
    keras.utils.set_random_seed(1)
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*digits(range(5)), epochs=4, verbose=0)
    assert model.evaluate(*digits(range(5)), verbose=0)[1] > 0.9
    path = tmp_path_factory.mktemp("pretrained") / "model.keras"
    model.save(path)
    return path


def built(hypermodel):
    return hypermodel.build(keras_tuner.HyperParameters())


def kernels(model):
    return [
        kernel.numpy()
        for layer in layer_groups.forward(model)
        for kernel in layer_groups.own_kernels(layer)
    ]


# The head


def test_a_new_head_takes_the_place_of_the_old_one_and_the_rest_keeps_its_weights(saved):
    old, new = keras.models.load_model(saved), built(Pretrained(saved, problem(num_classes=3)))
    assert new.output_shape == (None, 3) and new.layers[-1].activation is keras.activations.softmax
    assert all(
        np.array_equal(a, b) for a, b in zip(kernels(old)[:-1], kernels(new)[:-1], strict=True)
    )
    assert [layer.name for layer in new.layers if "old" in layer.name] == []


@pytest.mark.parametrize(
    "made, levels",
    [
        (lambda: keras.Sequential([keras.Input([4]), layers.Dense(3, "relu"), layers.Dense(2)]), 2),
        (
            lambda: keras.Sequential(
                [keras.Input([4]), layers.Dense(3), layers.Dense(2), layers.Softmax()]
            ),
            2,
        ),
        (lambda: keras.Sequential([keras.Input([9, 4]), layers.Conv1D(3, 3), layers.ReLU()]), 2),
        (lambda: keras.Sequential([keras.Input([8, 8, 1]), backbone()]), 3),
        (lambda: keras.Sequential([keras.Input([8, 8, 1]), network()]), 4),
    ],
)
def test_heads_are_found_at_any_end(made, levels):
    new = pretrained.with_new_head(made(), 7, "regression")
    assert new.output_shape == (None, 7) and new.layers[-1].activation is keras.activations.linear
    assert len(layer_groups.levels(new)) == levels


def test_what_has_no_graph_is_refused_with_what_to_do():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="module:function"):
        pretrained.with_new_head(Own(), 3, "classification")


@pytest.mark.parametrize(
    "shape, words",
    [((8, 8, 3), r"`image` \[8, 8, 1\], the data have \[8, 8, 3\]"), ((64,), r"\[64\]")],
)
def test_data_of_another_shape_are_refused_by_name(saved, shape, words):
    with pytest.raises(ValueError, match=words):
        Pretrained(saved, problem(shape))


def test_a_model_that_resizes_images_is_given_those_of_its_size():
    made = preprocessing.fit(profile(np.zeros([2, 8, 8, 3], "uint8")), True, True, any_size=True)
    inner = keras.Sequential([keras.Input([8, 8, 3]), layers.Flatten(), layers.Dense(3)])
    model = preprocessing.Attachment(made)(inner)
    with pytest.raises(ValueError, match=r"resizes images to 8 x 8, .* let `image_size` be 8"):
        Pretrained(model, problem((16, 16, 3)))
    Pretrained(model, problem((8, 8, 3)))


def test_inputs_are_matched_by_name():
    inputs = {name: keras.Input([None], name=name) for name in ("a", "b")}
    model = keras.Model(inputs, layers.Concatenate()(list(inputs.values())))
    model_inputs.check(model, {"b": np.zeros([2, 3]), "a": np.zeros([2, 1])})
    with pytest.raises(ValueError, match="takes a, b, the data have a, c .b missing; c too many.:"):
        model_inputs.check(model, {"a": np.zeros([2, 1]), "c": np.zeros([2, 1])})
    with pytest.raises(ValueError, match="the data have one array"):
        model_inputs.check(model, np.zeros([2, 1]))


# Where weights come from


def test_a_model_or_a_function_serve_as_well_as_a_file(saved):
    model = keras.models.load_model(saved)
    for source in (
        model,
        lambda: keras.models.load_model(saved),
        lambda hp: keras.models.load_model(saved),
    ):
        made = built(Pretrained(source, problem(num_classes=3)))
        assert made.output_shape == (None, 3) and np.array_equal(
            kernels(made)[0], kernels(model)[0]
        )
    # A model of a function stays as it is.
    assert np.array_equal(
        kernels(built(Pretrained(lambda: model, problem())))[-1], kernels(model)[-1]
    )
    assert not np.array_equal(kernels(built(Pretrained(model, problem())))[-1], kernels(model)[-1])


def test_what_an_earlier_fine_tuning_froze_may_be_trained(saved, tmp_path):
    model = keras.models.load_model(saved)
    model.layers[1].trainable = False
    model.save(tmp_path / "frozen.keras")
    assert len(layer_groups.levels(built(Pretrained(tmp_path / "frozen.keras", problem())))) == 4


@pytest.mark.parametrize(
    "source, words", [("gone.keras", "`gone.keras` is not a file"), (3, "got 3")]
)
def test_what_is_no_model_is_refused(source, words):
    with pytest.raises(ValueError, match=words):
        Pretrained(source, problem())


def test_only_what_was_loaded_counts_as_pretrained(saved):
    hypermodel = Pretrained(saved, problem())
    assert pretrained.loaded_levels(lambda: built(hypermodel), seed=3) == (4, 3)
    assert pretrained.loaded_levels(network, seed=3) == (4, 0)

    def seeded():
        hidden = layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(seed=5))
        constant = layers.Dense(4, kernel_initializer="ones")
        return keras.Sequential([keras.Input([4]), hidden, constant, layers.Dense(2)])

    assert pretrained.loaded_levels(seeded, seed=3) == (3, 0)


# The whole of it


def few(seed=0):
    x, y = digits(range(5, 10))
    order = np.random.default_rng(seed).permutation(len(x))
    return (x[order[:200]], y[order[:200]]), (x[order[200:500]], y[order[200:500]])


@pytest.mark.slow
def test_a_search_fine_tunes_and_its_flagfile_trains_the_same_again(saved, tmp_path):
    train, validation = few()
    np.savez(
        tmp_path / "few.npz",
        x_train=train[0],
        y_train=train[1],
        x_val=validation[0],
        y_val=validation[1],
    )
    given = (f"--data={tmp_path / 'few.npz'}", f"--pretrained={saved}")
    shorter = ("--stages=start,lr,finetune,train", "--budget=20000steps", "--nobaseline")
    assert entry.main(["tune", *given, *shorter, f"--output_dir={tmp_path / 'out'}"]) == 0
    decisions = [
        json.loads(line) for line in (tmp_path / "out" / "decisions.jsonl").read_text().splitlines()
    ]
    found = decisions[2]
    assert (
        found["stage"] == "finetune"
        and "Of 4 layers with kernels, 3 came with their weights" in found["numbers"]
    )
    assert decisions[1]["after"]["frozen"] == 3  # the head first
    flagfile = tmp_path / "out" / "best.flags"
    assert f"--pretrained={saved}" in flagfile.read_text()
    assert (
        entry.main(["train", f"--flagfile={flagfile}", f"--output_dir={tmp_path / 'again'}"]) == 0
    )
    models = [keras.models.load_model(tmp_path / name / "model.keras") for name in ("out", "again")]
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(first, second)
    assert "finetune" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.slow
def test_a_tuner_takes_a_pretrained_hypermodel_and_freezes_what_was_loaded(saved, tmp_path):
    train, validation = few()
    recipe = Recipe(total_steps=50, batch_size=16, learning_rate=0.02)
    options = {
        "recipe": recipe,
        "budget": "3000steps",
        "directory": tmp_path,
        "stages": ["finetune", "train"],
    }
    tuner = PlaybookTuner(hypermodels.Pretrained(saved), **options)
    tuner.search(*train, validation_data=validation, verbose=0)
    decision = tuner.decisions[0]
    assert (
        decision.before.frozen == 3
        and decision.values.pretrained == 3
        and "finetune-head" in decision.evidence
    )
    assert decision.evidence[1].startswith("finetune-2-")
    best = tuner.get_best_models()[0]
    loaded = kernels(keras.models.load_model(saved))
    assert np.array_equal(kernels(best)[0], loaded[0]) == (tuner.recipe.frozen > 0)
    assert tuner.result["final"]["validation"]["accuracy"] > 0.5
