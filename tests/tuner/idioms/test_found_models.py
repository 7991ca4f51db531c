"""`tuner.hypermodel.build(best)` gives what was found; what feeds the optimizer is recognized."""

import json

import keras
import keras_tuner
import numpy as np
import pytest

from kerastune import PlaybookTuner, Recipe
from kerastune.trial import TrialSpec
from kerastune.tuner.idioms import optimizer_hyperparameters
from kerastune.tuner.idioms.optimizer_hyperparameters import OptimizerHyperparameters

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(size=[500, 6]).astype("float32")
Y = np.abs(X[:, :3]).argmax(axis=1)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build(hp):
    model = keras.Sequential([keras.Input([6])])
    model.add(keras.layers.Dense(hp.Choice("units", [8, 24]), "relu"))
    model.add(keras.layers.Dense(3))
    rate = hp.Float("rate", 1e-5, 1e-1, sampling="log")
    kind = hp.Choice("kind", ["RMSprop", "Adam", "SGD"])
    model.compile(getattr(keras.optimizers, kind)(rate), LOSS, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    directory = tmp_path_factory.mktemp("found")
    tuner = PlaybookTuner(build, "val_accuracy", budget="4000steps", directory=directory)
    tuner.search(X, Y, validation_split=0.2, verbose=0)
    return tuner


def test_what_feeds_the_optimizer_is_not_searched_and_has_the_found_values(searched):
    networks = [o for o in searched.latest.playbook.outcomes.values() if o.spec.stage == "model"]
    assert all(set(each.spec.recipe.hyperparameters) == {"units"} for each in networks)
    best = searched.get_best_hyperparameters()[0]
    assert best.get("rate") == searched.recipe.learning_rate
    assert best.get("kind").lower() == searched.recipe.optimizer
    log = (searched.run_dir.path / "kerastune.log").read_text()
    assert "feed only the optimizer are tuned as its own: `rate`, `kind`." in log


def test_build_then_fit_trains_the_found_recipe(searched):
    best = searched.get_best_hyperparameters()[0]
    model = searched.hypermodel.build(best)
    recipe = TrialSpec.from_dict(json.loads(best.values["kerastune/spec"])).recipe
    assert type(model.optimizer).__name__.lower() == recipe.optimizer
    assert float(model.optimizer.learning_rate) == pytest.approx(recipe.learning_rate)
    epochs = -(-recipe.total_steps * recipe.batch_size // 400)
    history = model.fit(X[:400], Y[:400], epochs=epochs, verbose=0)
    steps = int(model.optimizer.iterations.numpy())
    assert steps == epochs * -(-400 // recipe.batch_size)
    assert len(history.history["loss"]) == epochs
    accuracy = model.evaluate(X[400:], Y[400:], verbose=0, return_dict=True)["accuracy"]
    reported = searched.result["final"]["validation"]["accuracy"]
    assert accuracy == pytest.approx(reported, abs=3 * (reported * (1 - reported) / 100) ** 0.5)


def test_what_no_search_gave_builds_what_the_user_wrote(searched):
    model = searched.hypermodel.build(keras_tuner.HyperParameters())
    assert type(model.optimizer).__name__ == "RMSprop"


def test_a_found_model_is_saved_and_loaded_like_any(searched, tmp_path):
    model = searched.hypermodel.build(searched.get_best_hyperparameters()[0])
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)


def test_another_processs_results_are_read_without_the_data(searched, capsys):
    again = PlaybookTuner(
        build, "val_accuracy", budget="4000steps", directory=searched.run_dir.path.parent
    )
    assert again.get_best_hyperparameters()[0].values == (
        searched.get_best_hyperparameters()[0].values
    )
    assert (again.recipe, again.result) == (searched.recipe, searched.result)
    assert [each.reason for each in again.decisions] == [each.reason for each in searched.decisions]
    predictions = [each.get_best_models()[0].predict(X, verbose=0) for each in (again, searched)]
    np.testing.assert_allclose(*predictions, atol=1e-6)
    assert again.hypermodel.build(again.get_best_hyperparameters()[0]).optimizer.built is False
    again.results_summary(1)
    printed = capsys.readouterr().out
    assert "learning rate:" in printed and "kerastune/" not in printed and "rate:" in printed


def test_a_trial_has_the_history_of_its_evaluations(searched):
    (trial,) = searched.oracle.get_best_trials(1)
    outcome = searched.latest.playbook.outcomes[trial.trial_id]
    history = trial.metrics.get_history("val_accuracy")
    assert [(each.step, each.value[0]) for each in history] == [
        (each["step"], each["accuracy"]) for each in outcome.evals
    ]
    assert trial.metrics.get_direction("val_accuracy") == "max"
    first = trial.metrics.get_history("accuracy")[0]
    assert first.step == history[0].step
    assert first.value[0] == pytest.approx(outcome.curves["accuracy"][: first.step].mean())


def test_nothing_searched_is_said_in_one_line(tmp_path):
    tuner = PlaybookTuner(build, directory=tmp_path)
    for ask in (tuner.get_best_models, tuner.get_best_hyperparameters, tuner.results_summary):
        with pytest.raises(ValueError, match="nothing was searched yet, and .* holds no search"):
            ask()
    with pytest.raises(ValueError, match="not a study of kerastune"):
        tuner.reload()


def test_models_of_prepared_data_are_read_whole(tmp_path):
    def regressor(hp):
        return keras.Sequential([keras.Input([6]), keras.layers.Dense(1)])

    given = {"directory": tmp_path, "budget": "1000steps", "stages": ["train"]}
    first = PlaybookTuner(regressor, recipe=Recipe(total_steps=200), **given)
    first.search(X, 90 + 7 * X[:, 0], verbose=0)
    again = PlaybookTuner(regressor, recipe=Recipe(total_steps=200), **given)
    predictions = [each.get_best_models()[0].predict(X, verbose=0) for each in (first, again)]
    np.testing.assert_allclose(*predictions, rtol=1e-5)
    model = again.hypermodel.build(again.get_best_hyperparameters()[0])
    assert model.compiled and type(model.optimizer).__name__.lower() == first.recipe.optimizer


def looked(make, compares=True):
    space = keras_tuner.HyperParameters()
    make(space)
    kinds = [each.name for each in space.space if each.name == "kind"]
    if kinds:
        space.values["kind"] = "SGD"
        make(space)

    def built(values):
        hp = space.copy()
        hp.values.update(values)
        return make(hp)

    return optimizer_hyperparameters.look(built, space, compares)


def model_of(width, optimizer, loss="mse"):
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(width)])
    model.compile(optimizer, loss)
    return model


def test_a_value_of_the_optimizer_and_of_the_network_is_searched():
    def both(hp):
        width = hp.Int("width", 2, 9)
        return model_of(width, keras.optimizers.Adam(1 / width))

    assert looked(both).feeds == {}


def test_what_a_recipe_keeps_is_searched_and_what_it_replaces_is_not():
    def clipped(hp):
        clip, first = hp.Choice("clip", [1.0, 2.0]), hp.Choice("first", [0.9, 0.8])
        return model_of(2, keras.optimizers.Adam(0.1, beta_1=first, clipnorm=clip))

    assert looked(clipped).feeds == {"first": ""}


def test_schedules_and_conditional_values_are_recognized():
    def conditional(hp):
        kind = hp.Choice("kind", ["Adam", "SGD"])
        start = hp.Float("start", 0.01, 0.1)
        rate = keras.optimizers.schedules.ExponentialDecay(start, 100, 0.9)
        if kind == "Adam":
            return model_of(2, keras.optimizers.Adam(rate))
        with hp.conditional_scope("kind", ["SGD"]):
            momentum = hp.Float("momentum", 0.1, 0.9)
        return model_of(2, keras.optimizers.SGD(rate, momentum))

    assert looked(conditional) == OptimizerHyperparameters(
        {"kind": "optimizer", "start": "learning_rate", "momentum": "momentum"},
        {"kind": ["Adam", "SGD"]},
    )


def test_the_found_values_are_those_of_active_hyperparameters():
    found = OptimizerHyperparameters(
        {"kind": "optimizer", "momentum": "momentum"}, {"kind": ["Adam", "SGD", "RMSprop"]}
    )
    recipe = Recipe(optimizer="sgd", momentum=0.8)
    assert found.found(recipe, {"kind": "Adam"}) == {"kind": "SGD"}
    assert found.found(recipe, {"momentum": 0.1}) == {"momentum": 0.8}


def test_losses_that_differ_are_refused_where_networks_are_compared():
    def two_losses(hp):
        return model_of(2, "adam", hp.Choice("loss", ["mse", "mae"]))

    with pytest.raises(ValueError, match=r"`loss` changes the loss \('mse' or 'mae'\).*hp.Fixed"):
        looked(two_losses)
    assert looked(two_losses, compares=False).feeds == {}


def test_a_network_that_can_not_be_built_says_nothing():
    def fails(hp):
        width = hp.Choice("width", [2, 0])
        return model_of(width or "none", keras.optimizers.Adam(0.1))

    assert looked(fails).feeds == {}
