"""MLflow is given the final model and the winner of every stage; what goes wrong loses nothing."""

import importlib.util
import logging

import numpy as np
import pytest
from test_page import searched
from test_report import RESULT

from kerastune.recipe import Recipe
from kerastune.report import mlflow_runs
from kerastune.runtime import mlflow_settings
from kerastune.trial import Outcome, TrialSpec


def runs(outcomes=None):
    found = searched()
    result = {**RESULT, "trial": "lr-0.1", "refit": {"test": {"nll": float("nan")}}}
    return mlflow_runs.of_search(
        "toy-out", found.decisions, outcomes or found.outcomes, result, found.objective
    )


def test_the_final_model_has_recipe_figures_and_curves_and_each_stage_its_winner():
    final, *winners = runs()
    assert final.params["learning_rate"] == "0.1" and final.trial == "lr-0.1"
    assert final.metrics["final/test_accuracy"] == 0.75 and final.metrics["gain/mean"] == 0.02
    assert "refit/test_nll" not in final.metrics  # no number
    assert final.tags["verdict"].startswith("+2 points of accuracy")
    (winner,) = winners  # stage weights compared nothing
    assert (winner.name, winner.trial) == ("04-lr", "lr-0.1")
    assert winner.metrics["validation/accuracy"] == 0.8
    assert winner.curves["training/loss"][0] == (0, 2.0)
    assert winner.curves["validation/loss"] == [(100, 1.0)]


def test_long_curves_are_thinned_and_names_are_those_that_mlflow_takes():
    losses = np.append(np.linspace(2, 1, 99_999, dtype=np.float32), np.float32("nan"))
    spec = TrialSpec("lr-0.1", "lr", Recipe(), 0, 100_000)
    evals = ({"step": 9, "a(b)": 1.0},)
    final = runs({"lr-0.1": Outcome(spec, {"loss": losses}, evals=evals)})[0]
    assert len(final.curves["training/loss"]) == mlflow_runs.MOST_POINTS - 1  # one is no number
    assert final.curves["validation/a_b_"] == [(9, 1.0)]


@pytest.mark.parametrize("store", ["", "sqlite:///a.db"])
def test_a_missing_package_is_named_before_anything_is_trained(monkeypatch, store):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"`mlflow` needs mlflow and sqlalchemy and alembic, no"):
        mlflow_settings.check()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://a")
    with pytest.raises(ImportError, match=r"needs mlflow, not .*'kerastune\[mlflow\]'\.$"):
        mlflow_settings.check()


def model_of(trial):
    import keras

    return keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")])


def test_mlflow_itself_holds_what_was_logged(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "report.html").write_text("<p>")
    files = [tmp_path / "report.html", tmp_path / "gone.json"]
    with mlflow.start_run() as users:  # which the search is nested in
        run_id = mlflow_runs.log(runs(), files, model_of)
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    assert run.data.tags["mlflow.parentRunId"] == users.info.run_id
    assert run.data.params["learning_rate"] == "0.1"
    assert run.data.metrics["final/test_accuracy"] == 0.75
    assert [each.path for each in client.list_artifacts(run_id)] == ["report.html"]
    (inner,) = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{run_id}'")
    assert inner.info.run_name == "04-lr" and inner.data.tags["headline"] == "Learning rate 0.1"
    points = client.get_metric_history(inner.info.run_id, "training/loss")
    assert [point.step for point in points] == list(range(100))
    import mlflow.keras

    for each in (run_id, inner.info.run_id):
        assert mlflow.keras.load_model(f"runs:/{each}/model").output_shape == (None, 3)


def test_a_tracker_that_fails_takes_one_line(tmp_path, monkeypatch, caplog):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        assert mlflow_runs.log(runs(), [], model_of) == ""
    (told,) = [record.getMessage() for record in caplog.records if record.name == "kerastune"]
    assert told.startswith("Not logged to MLflow (") and "\n" not in told
