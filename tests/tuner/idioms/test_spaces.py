"""The space is known whole: what loops and branches declare, and what `build(hp)` only gets."""

import keras
import keras_tuner
import numpy as np

from kerastune import PlaybookTuner
from kerastune.models.hypermodels import settled
from kerastune.tuner.builder import Builder
from kerastune.tuner.idioms import spaces
from kerastune.tuner.samplers import completed, searched

X = np.random.default_rng(2).normal(size=[120, 3]).astype("float32")


def layered(hp):
    model = keras.Sequential([keras.Input([3])])
    for index in range(hp.Int("layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int(f"units_{index}", 4, 8), "tanh"))
    if hp.Choice("head", ["plain", "dropped"]) == "dropped":
        model.add(keras.layers.Dropout(hp.Float("drop", 0.1, 0.4)))
    model.add(keras.layers.Dense(1))
    return model


def names(tuner):
    return sorted(searched(tuner.oracle.get_space()))


def test_what_loops_and_branches_declare_is_searched(tmp_path):
    tuner = PlaybookTuner(layered, directory=tmp_path)
    assert names(tuner) == ["drop", "head", "layers", "units_0", "units_1", "units_2"]
    space = tuner.oracle.get_space()
    assert set(completed(space, {"layers": 2})) == {"layers", "units_0", "units_1", "head"}
    values = completed(space, {"layers": 3, "units_2": 7, "head": "dropped"})
    assert settled(tuner.hypermodel, values).values == values
    assert Builder(tuner.hypermodel, space)(values).layers[2].units == 7


def test_entries_that_are_not_tuned_are_not_found(tmp_path):
    given = keras_tuner.HyperParameters()
    given.Int("layers", 1, 2)
    tuner = PlaybookTuner(
        layered, hyperparameters=given, tune_new_entries=False, directory=tmp_path
    )
    assert names(tuner) == ["layers"]


def test_a_value_that_can_not_be_built_ends_nothing():
    def fails(hp):
        if hp.Choice("kind", ["small", "broken"]) == "broken":
            raise RuntimeError("broken")

    known = keras_tuner.HyperParameters()
    known.Choice("kind", ["small", "broken"])
    spaces.explore(_hypermodel(fails), known.copy, known.merge)
    assert [each.name for each in known.space] == ["kind"]


def test_scoped_values_are_active_only_where_their_parent_is(tmp_path):
    def scoped(hp):
        wide = hp.Boolean("wide")
        with hp.conditional_scope("wide", [True]):
            if wide:
                hp.Int("width", 8, 16)
        return keras.Sequential([keras.Input([3]), keras.layers.Dense(1)])

    tuner = PlaybookTuner(scoped, directory=tmp_path)
    assert names(tuner) == ["wide", "width"]
    assert "width" not in tuner.oracle.get_space().values


def test_build_may_only_get_what_was_declared_before(tmp_path):
    def gets(hp):
        layers = [keras.layers.Dense(hp.get("units"), "tanh"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input([3]), *layers])
        model.compile(keras.optimizers.Adam(hp.get("rate")), "mse")
        return model

    given = keras_tuner.HyperParameters()
    given.Int("units", 4, 8)
    given.Choice("rate", [0.01, 0.001])
    tuner = PlaybookTuner(
        gets,
        hyperparameters=given,
        allow_new_entries=False,
        directory=tmp_path,
        budget="1000steps",
        stages=["start"],
    )
    tuner.search(X, X[:, :1], verbose=0)
    assert tuner.recipe.hyperparameters["units"] == 4
    assert tuner.oracle.hyperparameters == given


def _hypermodel(build):
    class Mine(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

    return Mine()
