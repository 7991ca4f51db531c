"""The tuner as KerasTuner's users know it, on a toy problem."""

import json
import subprocess
import sys

import keras
import keras_tuner
import numpy as np
import pytest

from kerastune import PlaybookTuner, Recipe
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.stage_setup import Wanted
from kerastune.study.database import StudyError
from kerastune.trial import TrialSpec

BUDGET = "2500steps"


def toy(seed=0, num_examples=400):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(num_examples, 6)).astype("float32")
    return x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype("int32")


def build(hp):
    units = hp.Choice("units", [8, 16], default=16)
    return keras.Sequential(
        [keras.Input([6]), keras.layers.Dense(units, "relu"), keras.layers.Dense(2, "softmax")]
    )


def search(directory, class_weight=None, **changes):
    x, y = toy()
    tuner = PlaybookTuner(
        changes.pop("hypermodel", build), **{"budget": BUDGET, "directory": directory, **changes}
    )
    tuner.search(
        x[:300], y[:300], validation_data=(x[300:], y[300:]), class_weight=class_weight, verbose=0
    )
    return tuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    directory = tmp_path_factory.mktemp("searched")
    return search(directory), directory


def test_it_is_a_keras_tuner_tuner_over_an_oracle(searched):
    tuner, _ = searched
    assert isinstance(tuner, keras_tuner.Tuner)
    assert isinstance(tuner.oracle, keras_tuner.Oracle)


def test_every_stage_decides_in_the_order_of_the_playbook(searched):
    tuner, _ = searched
    assert [decision.stage for decision in tuner.decisions] == [
        *registry.default_names(Wanted(own_model=True)),
    ]
    assert all(decision.reason for decision in tuner.decisions)
    assert all(
        after.before == before.after
        for before, after in zip(tuner.decisions, tuner.decisions[1:], strict=False)
    )
    assert tuner.recipe == tuner.decisions[-1].after


def test_the_budget_in_steps_is_kept(searched):
    tuner, _ = searched
    assert sum(cost["steps"] for cost in tuner.result["stages"].values()) <= 2500


def test_best_model_is_the_one_whose_figures_are_reported(searched):
    tuner, _ = searched
    x, y = toy()
    model = tuner.get_best_models()[0]
    accuracy = np.mean(model.predict(x[300:], verbose=0).argmax(axis=1) == y[300:])
    assert accuracy == pytest.approx(tuner.result["final"]["validation"]["accuracy"])
    assert accuracy > 0.8
    assert type(model.optimizer).__module__.startswith("keras.")


def test_best_hyperparameters_build_the_model_and_name_the_recipe(searched):
    tuner, _ = searched
    best = tuner.get_best_hyperparameters()[0]
    assert best.get("units") == 16
    assert best.values["kerastune/learning_rate"] == tuner.recipe.learning_rate
    assert tuner.hypermodel.build(best).count_params() == tuner.get_best_models()[0].count_params()


def test_results_summary_shows_the_chosen_trial_first(searched, capsys):
    tuner, _ = searched
    tuner.results_summary(2)
    printed = capsys.readouterr().out
    assert printed.index(f"Trial {tuner.result['trial']} summary") < printed.index("Score")


def test_the_same_search_goes_on_and_trains_nothing_more(searched):
    tuner, directory = searched
    before = (directory / "playbook" / "kerastune.log").read_text()
    again = search(directory)
    new_lines = (directory / "playbook" / "kerastune.log").read_text()[len(before) :]
    assert again.decisions == tuner.decisions
    assert again.result == tuner.result
    assert "steps, loss" not in new_lines


def test_a_changed_setting_is_refused_by_name(searched):
    _, directory = searched
    with pytest.raises(StudyError, match="`budget` was"):
        search(directory, budget="3000steps")
    with pytest.raises(StudyError, match="`momentum` was 0.9"):
        search(
            directory,
            recipe=Recipe(momentum=0.5),
            stages=registry.default_names(Wanted(own_model=True)),
        )


def test_other_data_are_refused(searched):
    _, directory = searched
    x, y = toy(seed=1)
    tuner = PlaybookTuner(build, budget=BUDGET, directory=directory)
    with pytest.raises(StudyError, match="contents of the data"):
        tuner.search(x[:300], y[:300], validation_data=(x[300:], y[300:]), verbose=0)


def test_records_on_disk_tell_the_same(searched):
    tuner, directory = searched
    folder = directory / "playbook"
    assert Recipe.from_json((folder / "recipe.json").read_text()) == tuner.recipe
    lines = (folder / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["headline"] for line in lines] == [
        decision.headline for decision in tuner.decisions
    ]
    assert json.loads((folder / "result.json").read_text()) == tuner.result
    model = keras.models.load_model(folder / "model.keras")
    x, _ = toy()
    np.testing.assert_allclose(
        model.predict(x, verbose=0), tuner.get_best_models()[0].predict(x, verbose=0), atol=1e-6
    )


@pytest.mark.slow
def test_same_seed_gives_the_same_decisions_and_another_seed_other_curves(searched, tmp_path):
    tuner, _ = searched
    again = search(tmp_path / "same")
    assert [d.to_dict() for d in again.decisions] == [d.to_dict() for d in tuner.decisions]
    other = search(tmp_path / "other", seed=0)
    losses = [t.latest.playbook.outcomes["probe"].losses for t in (tuner, other)]
    assert other.recipe.seed == 0
    assert not np.array_equal(*losses)


@pytest.mark.slow
def test_callbacks_and_weights_are_honored(tmp_path):
    x, y = toy()
    seen = tmp_path / "seen"

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with open(seen, "a") as stream:
                stream.write("".join(f"{name} " for name in logs) + "\n")

    def trained(name, **weights):
        tuner = PlaybookTuner(
            build, budget="1000steps", directory=tmp_path, project_name=name, baseline=False
        )
        tuner.search(x, y, callbacks=[Note()], verbose=0, **weights)
        return tuner.latest.playbook.outcomes["probe"].losses

    plain = trained("plain")
    assert "val_accuracy" in seen.read_text()
    assert not np.allclose(plain, trained("sample", sample_weight=np.linspace(0, 2, len(x))))
    assert not np.allclose(plain, trained("class", class_weight={0: 1.0, 1: 5.0}))


def test_a_compiled_model_keeps_its_loss_and_metrics_and_any_metric_is_an_objective(tmp_path):
    def compiled(hp):
        model = build(hp)
        model.compile(
            "rmsprop", "categorical_crossentropy", metrics=[keras.metrics.AUC(name="auc")]
        )
        return model

    x, y = toy()
    tuner = PlaybookTuner(
        compiled, objective="val_auc:max", budget="1000steps", directory=tmp_path, baseline=False
    )
    tuner.search(x, keras.utils.to_categorical(y), verbose=0)
    best = tuner.get_best_models()[0]
    assert best.loss == "categorical_crossentropy"
    assert "auc" in best.evaluate(x, keras.utils.to_categorical(y), verbose=0, return_dict=True)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"steps_per_epoch": 3}, "`steps_per_epoch`"),
        ({"validation_freq": 2}, "`validation_freq` can't be given to search: how often"),
        ({"shuffel": True}, "search does not take `shuffel`; did you mean `shuffle`?"),
    ],
)
def test_search_refuses_what_it_decides_itself(tmp_path, given, words):
    x, y = toy()
    with pytest.raises(ValueError, match=words):
        PlaybookTuner(build, budget=BUDGET, directory=tmp_path).search(x, y, **given)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"objective": "val_profit"}, "needs its direction, which its name does not tell"),
        ({"objective": "accuracy:max"}, "write val_accuracy:max"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
        ({"budget": "soon"}, "`budget` must be a time"),
        ({"project_name": "../victim"}, "`project_name`"),
        ({"stages": ["lr", "decay2"]}, "`stages` must be among"),
    ],
)
def test_bad_settings_are_refused_when_the_tuner_is_made(tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        PlaybookTuner(build, **{"directory": tmp_path, "budget": BUDGET, **given})


def test_an_objective_that_is_not_measured_is_refused_before_training(tmp_path):
    with pytest.raises(
        ValueError, match="val_recal.*neither a metric.*mean `val_recall`.*val_loss, val_accuracy"
    ):
        search(tmp_path, objective="val_recal:max")


@pytest.mark.slow
def test_a_metric_of_kerass_may_be_the_objective_and_the_saved_model_is_without_it(tmp_path):
    tuner = search(tmp_path, objective="val_auc:max", budget="1000steps", stages=("lr", "train"))
    evaluations = tuner.latest.playbook.outcomes[tuner.result["trial"]].evals
    assert all(0 < values["auc"] <= 1 for values in evaluations)
    code = "import sys, keras; m = keras.models.load_model(sys.argv[1]); "
    code += "print(m.get_compile_config()); assert 'kerastune' not in sys.modules"
    command = [sys.executable, "-c", code, str(tmp_path / "playbook" / "model.keras")]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (
        "accuracy" in loaded.stdout
        and "auc" not in loaded.stdout
        and "kerastune" not in loaded.stdout
    )


@pytest.mark.parametrize(
    "callback, message",
    [
        (keras.callbacks.ReduceLROnPlateau(), "ReduceLROnPlateau sets the learning rate"),
        (
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
            "LearningRateScheduler sets the learning rate",
        ),
    ],
)
def test_callbacks_that_would_undo_the_search_are_refused(tmp_path, callback, message):
    x, y = toy()
    tuner = PlaybookTuner(build, budget=BUDGET, directory=tmp_path)
    with pytest.raises(ValueError, match=message):
        tuner.search(x, y, callbacks=[callback], verbose=0)


def test_another_model_or_other_class_weights_are_refused_on_resume(tmp_path):
    search(tmp_path, stages=["start"])

    def with_another_activation(hp):
        units = hp.Choice("units", [8, 16], default=16)
        return keras.Sequential(
            [keras.Input([6]), keras.layers.Dense(units, "tanh"), keras.layers.Dense(2, "softmax")]
        )

    with pytest.raises(StudyError, match="`architecture, loss and metrics` was"):
        search(tmp_path, stages=["start"], hypermodel=with_another_activation)
    with pytest.raises(StudyError, match="`contents of the data` was"):
        search(tmp_path, stages=["start"], class_weight={0: 1.0, 1: 2.0})
    search(tmp_path, stages=["start"])


def test_best_models_of_a_regression_speak_the_users_units(tmp_path):
    x, _ = toy()

    def regressor(hp):
        return keras.Sequential(
            [keras.Input([6]), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
        )

    tuner = PlaybookTuner(regressor, budget="1500steps", directory=tmp_path, baseline=False)
    tuner.search(x, 500 + 10 * x[:, 0].astype("float64"), verbose=0)
    predicted = tuner.get_best_models()[0].predict(x, verbose=0)[:, 0]
    assert np.mean(np.abs(predicted - 500 - 10 * x[:, 0])) < 5


def test_an_overridden_fit_or_run_trial_is_refused(tmp_path):
    class OwnFit(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, **kwargs)

    class OwnTrial(PlaybookTuner):
        def run_trial(self, trial, *args, **kwargs):
            return 0.0

    with pytest.raises(ValueError, match="OwnFit overrides fit"):
        PlaybookTuner(OwnFit(), directory=tmp_path)
    with pytest.raises(ValueError, match="OwnTrial overrides run_trial"):
        OwnTrial(build, directory=tmp_path)


def test_a_directory_of_someone_else_is_neither_used_nor_deleted(tmp_path):
    (tmp_path / "playbook").mkdir()
    (tmp_path / "playbook" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="not kerastune's"):
        search(tmp_path, overwrite=True)
    assert (tmp_path / "playbook" / "thesis.txt").read_text() == "precious"


@pytest.mark.slow
def test_regularizers_are_off_while_tuning_and_on_in_the_training(tmp_path):
    def regularized(hp):
        return keras.Sequential(
            [
                keras.Input([6]),
                keras.layers.Dense(16, "relu", kernel_regularizer=keras.regularizers.L2(0.5)),
                keras.layers.Dense(2, "softmax"),
            ]
        )

    tuner = search(tmp_path, hypermodel=regularized, baseline=False)
    first_loss = {o.spec.stage: o.losses[0] for o in tuner.latest.playbook.outcomes.values()}
    assert first_loss["train"] > first_loss["lr"] + 1
    assert tuner.get_best_models()[0].layers[0].kernel_regularizer is not None


def test_the_trainer_runs_what_the_trials_spec_says(searched):
    tuner, _ = searched
    trial = tuner.oracle.get_trial("baseline")
    spec = TrialSpec.from_dict(json.loads(trial.hyperparameters.values["kerastune/spec"]))
    assert (
        spec.recipe.optimizer == "adam"
        and spec.recipe.learning_rate == 1e-3
        and spec.recipe.batch_size == 32
    )


def test_a_budget_too_short_for_a_search_gives_one_training_and_draws_nothing(tmp_path):
    tuner = search(tmp_path, budget="6s")
    assert tuner.result["trial"].startswith("train-") and len(tuner.get_best_models()) == 1
    assert not list(tmp_path.rglob("*.png"))
    (report,) = tmp_path.rglob("report.md")
    assert "No figures: the budget was too short" in report.read_text()
    words = "Not tuned: 6 s is too short for a search on this machine; try a budget of 30s."
    assert tuner.result["not_tuned"] == words and words in report.read_text()
    assert report.read_text().index(words) < report.read_text().index("Final model")
    assert tuner.run_dir.log.read_text().splitlines()[0].endswith(words)


def test_a_refit_trains_on_all_examples_what_was_chosen_without_some(tmp_path):
    (x, y), test = toy(), toy(seed=1)
    validation = (x[300:], y[300:])
    given = {
        "directory": tmp_path,
        "budget": "1000steps",
        "stages": ["train"],
        "recipe": Recipe(total_steps=300),
    }
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.params["steps"] or self.params["epochs"])

    tuner = PlaybookTuner(build, refit=True, **given)
    tuner.search(
        x[:300], y[:300], validation_data=validation, test_data=test, callbacks=[Seen()], verbose=0
    )
    outcome = tuner.latest.playbook.outcomes["refit"]
    assert (
        outcome.steps == outcome.spec.recipe.total_steps == 400
        and seen[-1] == 400
        and len(seen) == 2
    )
    assert outcome.spec.recipe.replace(total_steps=300) == tuner.recipe
    saved = keras.saving.load_model(tmp_path / "playbook" / "model.keras")
    accuracy = np.mean(saved.predict(test[0], verbose=0).argmax(axis=1) == test[1])
    assert accuracy == pytest.approx(tuner.result["refit"]["test"]["accuracy"])
    # It has learnt the validation part, which the chosen one had not, so its figures there would
    # tell nothing.
    right = saved.predict(validation[0], verbose=0)[np.arange(100), validation[1]]
    assert -np.log(right).mean() < tuner.result["final"]["validation"]["nll"]
    assert set(tuner.result["refit"]) == {"test"}
    kept = np.load(tmp_path / "playbook" / "predictions.npz")
    assert any("refit" in name for name in kept) and not any(
        "refit" in name and "validation" in name for name in kept
    )
    again = PlaybookTuner(build, refit=True, **given)
    again.search(
        x[:300], y[:300], validation_data=validation, test_data=test, callbacks=[Seen()], verbose=0
    )
    assert again.result == tuner.result and len(seen) == 2
    alone = PlaybookTuner(build, refit=True, **given, project_name="no-test")
    alone.search(x[:300], y[:300], validation_data=validation, verbose=0)
    assert "refit" not in alone.result and alone.latest.playbook.outcomes["refit"].steps == 400
    assert (tmp_path / "no-test" / "model.keras").exists() and (
        tmp_path / "no-test" / "report.html"
    ).exists()


def test_the_best_model_so_far_is_on_disk_long_before_the_end(tmp_path):
    found = {}

    class Watching(PlaybookTuner):
        def on_trial_begin(self, trial):
            super().on_trial_begin(trial)
            for path in tmp_path.rglob("model.keras"):
                if not found:
                    found.update(trial=trial.trial_id, model=keras.saving.load_model(path))
                    found.update(json.loads((path.parent / "result.json").read_text()))

    x, y = toy()
    tuner = Watching(build, budget=BUDGET, directory=tmp_path)
    tuner.search(x[:300], y[:300], validation_data=(x[300:], y[300:]), verbose=0)
    assert found["trial"].startswith("lr-")
    so_far = found["best_so_far"]
    right = np.argmax(found["model"].predict(x[300:], verbose=0), axis=1) == y[300:]
    assert so_far["trial"] == "baseline"
    assert so_far["validation"]["accuracy"] == pytest.approx(right.mean())
    (result,) = tmp_path.rglob("result.json")
    assert "best_so_far" not in json.loads(result.read_text())
