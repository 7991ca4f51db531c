"""Cross-validation for real: what is held out is unseen, what was trained stays trained, and the
files say so.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune import cross_validate
from kerastune.cli import entry
from kerastune.export import from_run, versions
from kerastune.models import hypermodels
from kerastune.playbook.rules import full_training
from kerastune.recipe import Recipe
from kerastune.runtime import screen
from kerastune.study.database import Record
from kerastune.training.trainer import Trainer

GENERATOR = np.random.default_rng(7)
COPIES = 4
# Labels are chance, and every example is there four times: whoever has seen a copy knows its label.
X = np.repeat(GENERATOR.normal(size=[40, 8]), COPIES, axis=0).astype("float32")
Y = np.repeat(GENERATOR.integers(0, 2, 40), COPIES)
GROUPS = np.repeat(np.arange(40), COPIES)
TEST = (X[:20] + 3, Y[:20])
RECIPE = Recipe(optimizer="adam", learning_rate=0.01, batch_size=20, total_steps=200, decay="none")


def build(hp):
    units = hp.Choice("units", [16, 64], default=64)
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def crossed_in(directory, **changes):
    arguments = {
        "recipe": RECIPE,
        "folds": 2,
        "groups": GROUPS,
        "test_data": TEST,
        "directory": directory,
    }
    return cross_validate(build, X, Y, **{**arguments, **changes})


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    return crossed_in(tmp_path_factory.mktemp("crossed"))


@pytest.fixture
def counted(monkeypatch):
    """Segments that are trained from now on, and how many of them may be before the process is
    interrupted.
    """
    run, count = Trainer.run, {"segments": 0, "most": np.inf}

    def counting(self, spec, state=None):
        if count["segments"] >= count["most"]:
            raise KeyboardInterrupt
        count["segments"] += 1
        return run(self, spec, state)

    monkeypatch.setattr(Trainer, "run", counting)
    return count


def predictions(crossed):
    with np.load(crossed.run_dir.out_of_fold, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive}


def test_out_of_fold_predictions_are_of_models_that_have_not_seen_the_row_or_its_group(crossed):
    found = predictions(crossed)
    with Record(crossed.run_dir.study) as record:
        outcomes = record.outcomes()
    assert all(
        outcome.curves["accuracy"][-20:].mean() > 0.95 for outcome in outcomes.values()
    )  # overfits
    assert np.mean(found["predictions"][0].argmax(axis=1) == Y) < 0.8
    for group in range(40):
        assert len(set(found["fold"][0][GROUPS == group])) == 1


def test_out_of_fold_predictions_are_those_of_the_folds_own_models(crossed):
    found = predictions(crossed)
    np.testing.assert_array_equal(found["true"], Y)
    np.testing.assert_array_equal(found["groups"], GROUPS)
    np.testing.assert_array_equal(found["row"], np.arange(len(Y)))
    model = build(hypermodels.settled(hypermodels.BuildFunction(build), {}))
    with Record(crossed.run_dir.study) as record:
        for fold in crossed.folds:
            weights = record.checkpoint(fold.name, "best").model
            model.set_weights(weights[: len(model.get_weights())])
            said = model.predict(X[fold.held_out], verbose=0)
            np.testing.assert_allclose(found["predictions"][0, fold.held_out], said, atol=1e-5)
            np.testing.assert_array_equal(found["fold"][0, fold.held_out], fold.number)
            assert record.checkpoint(fold.name, "last") is None


def test_the_ensemble_is_one_saved_model_that_gives_the_reported_figures(crossed):
    model = keras.models.load_model(crossed.run_dir.ensemble)
    said = model.predict(TEST[0], verbose=0)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    reported = crossed.result["ensemble on the test part"]
    assert reported["accuracy"] == pytest.approx(np.mean(said.argmax(axis=1) == TEST[1]))
    assert reported["nll"] == pytest.approx(-np.log(said[np.arange(20), TEST[1]]).mean(), rel=1e-3)


def test_the_summary_is_that_of_the_folds(crossed):
    result = json.loads(crossed.run_dir.crossval.read_text())
    assert result == crossed.result
    values = [fold["metrics"]["accuracy"] for fold in result["by fold"]]
    assert result["summary"]["accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert result["summary"]["accuracy"]["std"] == pytest.approx(np.std(values, ddof=1))
    assert result["out of fold"]["accuracy"]["mean"] == pytest.approx(np.mean(values), abs=0.02)
    assert result["recipe"]["hyperparameters"] == {"units": 64}
    assert {entry.name for entry in crossed.run_dir.tensorboard.iterdir()} >= {"trials", "result"}


def test_the_report_tells_how_every_fold_did_and_where_they_err(crossed):
    text = crossed.run_dir.report_markdown.read_text()
    row = crossed.result["summary"]["accuracy"]
    interval = f"95 % interval {row['low']:.4f} to {row['high']:.4f}"
    assert f"**Mean accuracy {row['mean']:.4f} over 2 folds, {interval}.**" in text
    for fold in crossed.result["by fold"]:
        assert f"| {fold['name']} | {fold['trained on']} | {fold['held out']} | 200 |" in text
    assert (
        "groups stay whole" in text
        and "every example is predicted by a model that was not trained on it." in text
    )
    true, chosen = Y, predictions(crossed)["predictions"][0].argmax(axis=1)
    assert f"{np.sum((true == 0) & (chosen == 1))} times" in text
    assert "(https" not in text and f"--flagfile={crossed.run_dir.crossval_flags}" in text
    drawn = {path.stem for path in crossed.run_dir.report_pictures.iterdir()}
    assert drawn == {"folds", "curves", "confusion", "reliability"}
    board = b"".join(path.read_bytes() for path in crossed.run_dir.result_board.iterdir())
    assert all(f"result/{name}".encode() in board for name in drawn)
    page = crossed.run_dir.report.read_text()
    figures = page.split("<figure")[1:]
    assert len(figures) == len(drawn) and all("<svg" in each for each in figures)
    assert "cross-validated by kerastune" in page


def test_the_report_is_written_anew_without_the_data_once_all_folds_are_trained(
    crossed, tmp_path, capsys, counted
):
    before = crossed.run_dir.report.read_text()
    crossed.run_dir.report.unlink()
    assert entry.main(["report", f"--output_dir={crossed.run_dir.path}"]) == 0
    assert crossed.run_dir.report.read_text() == before
    counted["most"] = 1
    with pytest.raises(KeyboardInterrupt):
        crossed_in(tmp_path)
    assert entry.main(["report", f"--output_dir={tmp_path / 'crossval'}"]) == 2
    assert "not all folds in" in capsys.readouterr().err
    for directory, told in (
        (tmp_path / "crossval", "Stopped: "),
        (crossed.run_dir.path, "Finished. 400 of 400 steps"),
    ):
        assert entry.main(["status", f"--output_dir={directory}"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(told) and "  fold-1: " in shown


def test_the_export_names_the_classes(crossed, tmp_path):
    path = from_run.release(crossed.run_dir, tmp_path, versions.SAVED_MODEL, {})
    assert (path / "assets" / "labels.txt").read_text() == "0\n1\n"


def test_a_second_run_trains_nothing_and_gives_the_same(crossed, counted):
    before = predictions(crossed)
    again = crossed_in(crossed.run_dir.path.parent)
    assert counted["segments"] == 0
    assert again.result == crossed.result
    for name, array in predictions(again).items():
        np.testing.assert_array_equal(array, before[name])


def test_what_was_interrupted_goes_on_and_ends_the_same_and_the_line_on_the_screen_tells(
    crossed, counted, tmp_path, monkeypatch
):
    shown = []
    kept = lambda self, done, left, words: shown.append((round(400 * done), left, words))  # noqa: E731
    monkeypatch.setattr(screen.Terminal, "bar", kept)
    monkeypatch.setattr(full_training, "LEAST_SEGMENT", 50)
    counted["most"] = 5  # in the middle of the second fold
    with pytest.raises(KeyboardInterrupt):
        crossed_in(tmp_path)
    assert list(dict.fromkeys(words for _, _, words in shown)) == [
        "preparing",
        "fold-1 of 2",
        "fold-2 of 2",
    ]
    assert list(dict.fromkeys(done for done, _, _ in shown)) == [0, 50, 100, 150, 200, 250]
    shown.clear()
    counted["most"] = np.inf
    again = crossed_in(tmp_path)
    assert counted["segments"] == 8
    assert list(dict.fromkeys(done for done, _, _ in shown)) == [250, 300, 350, 400]
    assert shown[0][1] == "" and shown[-1][1] == "about 0 s left"
    for name, array in predictions(again).items():
        np.testing.assert_array_equal(array, predictions(crossed)[name])
    assert again.result["summary"] == crossed.result["summary"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folds": 4}, "`folds` was 2 when this search started and is 4 now"),
        ({"seed": 2}, "`seed of the folds` was 1"),
        ({"recipe": RECIPE.replace(learning_rate=0.02)}, "`learning_rate` was 0.01"),
        ({"groups": GROUPS // 2}, "was .* when this search started"),
        (
            {"recipe": RECIPE.replace(batch_size=81)},
            r"`batch_size` \(81\) is larger than the training part",
        ),
        (
            {"recipe": RECIPE.replace(hyperparameters={"depth": 3})},
            "declares no hyperparameter depth",
        ),
        ({"folds": 1}, "`folds` must be at least 2, got 1"),
        ({"epochs": 3}, "does not take epochs"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(changes, words, crossed, counted):
    with pytest.raises(ValueError, match=words):
        crossed_in(crossed.run_dir.path.parent, **changes)
    assert counted["segments"] == 0


def test_a_fold_that_diverges_is_named(tmp_path):
    wild = Recipe(optimizer="sgd", learning_rate=1e30, batch_size=20, total_steps=50, decay="none")
    with pytest.raises(
        ValueError,
        match="the training of fold-1 diverged at step .* choose a `learning_rate` below",
    ):
        crossed_in(tmp_path, recipe=wild)


def test_hyperparameters_that_hang_on_others_are_settled():
    def nested(hp):
        if hp.Boolean("deep"):
            with hp.conditional_scope("deep", [True]):
                hp.Int("layers", 1, 5, default=2)

    hypermodel = hypermodels.BuildFunction(nested)
    assert hypermodels.settled(hypermodel, {"deep": True, "layers": 4}).values == {
        "deep": True,
        "layers": 4,
    }
    assert hypermodels.settled(hypermodel, {}).values == {"deep": False}


def write_csv(path):
    lines = ["age,city,patient,y"]
    for row in range(80):
        age, city = row % 40, ("Bonn", "Rome")[row % 2]
        shown, price = "" if row % 11 == 5 else age, 5000 + 10 * age + 300 * (city == "Rome")
        lines.append(f"{shown},{city},p{row % 10},{price}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_the_command_cross_validates_a_regression_on_texts_gaps_and_groups(tmp_path, capsys):
    write_csv(tmp_path / "people.csv")
    data = (
        f"--data={tmp_path / 'people.csv'}",
        "--label=y",
        "--groups=patient",
        "--kind=regression",
        "--model=mlp",
    )
    recipe = (
        "--optimizer=adam",
        "--learning_rate=0.02",
        "--batch_size=20",
        "--total_steps=150",
        "--folds=2",
    )
    output_dir = tmp_path / "out"
    assert entry.main(["crossval", *data, *recipe, f"--output_dir={output_dir}"]) == 0
    shown = capsys.readouterr().out
    assert "95 % interval" in shown and "fold-2" in shown
    result = json.loads((output_dir / "crossval.json").read_text())
    assert (
        result["grouped"] and not result["stratified"] and "ensemble on the test part" not in result
    )
    assert result["summary"]["r2"]["mean"] > 0.8
    with np.load(output_dir / "out_of_fold.npz", allow_pickle=False) as archive:
        errors = np.abs(archive["predictions"][0] - archive["true"])
    assert (
        errors.mean() == pytest.approx(result["out of fold"]["mae"]["mean"]) and errors.mean() < 60
    )
    model = keras.models.load_model(output_dir / "ensemble.keras")
    raw = {
        "age": tf.constant([[10.0], [10.0]], tf.float64),
        "city": tf.constant([["Bonn"], ["Rome"]]),
    }
    # The column that tells the groups is no input of what is exported, nor of the examples that it
    # is compared on.
    assert entry.main(["export", f"--output_dir={output_dir}"]) == 0
    signature = tf.saved_model.load(str(output_dir / "export" / "out" / "1")).signatures[
        "serving_default"
    ]
    assert set(signature.structured_input_signature[1]) == {"age", "city"}
    assert "random inputs" not in capsys.readouterr().err
    assert "(in units of the targets)" in (output_dir / "report.md").read_text()
    bonn, rome = np.asarray(model(raw)).ravel()
    assert bonn == pytest.approx(5100, abs=120) and rome - bonn == pytest.approx(300, abs=120)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("crossval", "--data=wine", "--model=mlp", "--folds=1"),
            "`--folds` must be at least 2, got 1",
        ),
        (
            ("crossval", "--data=wine", "--model=mlp", "--folds=50"),
            "more than the smallest class has examples (41)",
        ),
        (("tune", "--data=wine", "--folds=3"), "`--folds` is not a flag of tune, but of"),
        (("tune", "--data=wine", "--groups=patient"), "but the data are wine: leave it out"),
    ],
)
def test_the_command_refuses_by_name(arguments, words, tmp_path, capsys):
    assert entry.main([*arguments, f"--output_dir={tmp_path / 'out'}"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_fold_of_texts_has_its_own_words(tmp_path):
    # Each of the rare words is in examples of some folds only: no two folds know the same ones.
    rows = [f"{'good' if n % 2 else 'bad'} word{n // 4},{n % 2}" for n in range(80)]
    (tmp_path / "notes.csv").write_text("note,label\n" + "\n".join(rows))
    data = [f"--data={tmp_path / 'notes.csv'}", "--label=label", "--folds=3"]
    recipe = ["--optimizer=adam", "--learning_rate=0.03", "--total_steps=100", "--batch_size=16"]
    directory = f"--output_dir={tmp_path / 'out'}"
    assert entry.main(["crossval", *data, "--types=note:text", *recipe, directory]) == 0
    result = json.loads((tmp_path / "out" / "crossval.json").read_text())
    assert result["out of fold"]["accuracy"]["mean"] == 1.0
