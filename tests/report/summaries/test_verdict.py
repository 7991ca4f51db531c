"""The verdict, its figures, and the last lines of a search."""

import numpy as np
import pytest

from kerastune.recipe import Recipe
from kerastune.report.predictions import Predictions
from kerastune.report.summaries import ending, verdict
from kerastune.study.run_directory import RunDir

FIGURES = {"validation": {"nll": 0.1, "accuracy": 0.9}, "test": {"nll": 0.1, "accuracy": 0.8}}
RESULT = {
    "baseline": FIGURES,
    "final": FIGURES,
    "gain": {"mean": 0.026, "low": 0.019, "high": 0.032},
    "scored_by": "accuracy",
    "trial": "train-100",
    "budget": "45s",
    "seconds": 44.4,
}
NONE = {"mean": 0.004, "low": -0.002, "high": 0.01}
WORSE = {"mean": -0.02, "low": -0.03, "high": -0.01}


@pytest.mark.parametrize(
    "changes, words, tone",
    [
        ({}, "+2.6 points of accuracy over Keras's defaults (95 % CI +1.9 to +3.2).", "better"),
        ({"gain": NONE}, "No significant gain over Keras's defaults: +0.4 points", "same"),
        ({"gain": WORSE}, "Worse than Keras's defaults on test: -2 points", "worse"),
        (
            {"scored_by": "loss"},
            "-0.026 of loss over Keras's defaults (95 % CI -0.032 to -0.019)",
            "better",
        ),
        (
            {"trial": "baseline"},
            "No better than Keras's defaults, so those are returned.",
            "same",
        ),
        (
            {
                "not_tuned": "Not tuned: 8 s is too short for a search on this machine.",
                "trial": "baseline",
            },
            "Not tuned: 8 s is too short for a search on this machine.",
            "untuned",
        ),
        ({"final": None}, "No model", "untuned"),
        ({"gain": None, "baseline": None}, "there is no baseline to compare with", "same"),
        ({"gain": None}, "there is no test part, so only validation tells how good it is.", "same"),
    ],
)
def test_the_verdict_is_one_sentence(changes, words, tone):
    result = {name: value for name, value in {**RESULT, **changes}.items() if value is not None}
    found = verdict.of(result)
    assert words in found.words and found.tone == tone


def test_figures_have_an_interval_where_predictions_are_kept():
    assert verdict.figures(RESULT, None) == "Test accuracy 0.8000; Keras's defaults 0.8000."
    true = np.array([0, 1, 1, 0, 0])
    outputs = np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1]]
    kept = Predictions(("a", "b"), {"test": true}, {"final": {"test": outputs}}, "final")
    told = verdict.figures(RESULT, kept)
    assert told == "Test accuracy 0.8000 (95 % CI 0.3755 to 0.9638); Keras's defaults 0.8000."
    assert verdict.figures({}, kept) == ""


def test_the_figure_of_a_baseline_that_is_returned_is_told_once():
    of_numbers = {"test": {"mae": 46.63284}}
    found = {"baseline": of_numbers, "final": of_numbers, "trial": "baseline", "scored_by": "mae"}
    assert verdict.figures(found, None) == "Test MAE 46.63 with Keras's defaults."
    found["not_tuned"] = "Not tuned."
    told = "Test MAE 46.63 with Keras's defaults, which are returned."
    assert verdict.figures(found, None) == told


def test_a_recipe_is_a_sentence():
    recipe = Recipe(
        optimizer="adam", decay="none", dropout=0.3, weight_decay=1e-4, flip=True, frozen=2
    )
    told = verdict.recipe_in_words(recipe)
    assert told.startswith("Adam, learning rate ") and "decay," not in told.replace("weight", "")
    assert "dropout 0.3, weight decay 0.0001, horizontal flips, 2 frozen layers." in told


def test_the_end_is_at_most_fifteen_lines_and_names_only_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = RunDir(tmp_path / "my out")
    run_dir.path.mkdir()
    run_dir.report.write_text("")
    run_dir.model.write_text("")
    run_dir.flags.write_text("")
    run_dir.inputs.write_text('{"reading": {"form": "table"}}')
    gains = dict.fromkeys(("gain_of_ensemble", "gain_of_views"), NONE)
    exported = {"exported": {"model": "ensemble"}, "ensemble": {"test": {"ece": 0.012}}}
    found = ending.found({**RESULT, **gains, **exported}, None)
    recipe = Recipe(learning_rate=0.0464, decay_start=1000, total_steps=10_500)
    recipe = recipe.replace(dropout=0.25, weight_decay=1e-4, label_smoothing=0.1)
    files = ending.files(run_dir, recipe)
    commands = ending.commands(run_dir, {"predict", "export", "why", "report"})
    (run_dir.path / "tensorboard").mkdir()
    parts = {"class": 1, "share": 0.376, "roc_auc": 0.9, "pr_auc": 0.9, "recall": 0.9}
    rare = {"test": parts | {"precision": 0.9, "majority_accuracy": 0.6}}
    told = {**RESULT, **gains, **exported, "rare_class": rare, "classes": ["benign", "malignant"]}
    shown = ending.of_search(run_dir, told, recipe, None, {"predict", "export", "why", "report"})
    assert len(shown) <= 16 and shown[0] == ""  # 15, below an empty one
    assert all(len(line) <= 80 for line in shown if not line.startswith("kerastune"))
    assert found[-1] == "Model to use: the ensemble, calibration error 0.0120 on test."
    first, second, *of_recipe = files
    assert first.startswith("Report:") and second.startswith("Model:")
    # The whole recipe, cut nowhere, and its file.
    whole = " ".join(" ".join(of_recipe).split())
    words = verdict.recipe_in_words(recipe).rstrip(".")
    assert whole == f"Recipe: {words} (my out/best.flags)" and "label smoothing 0.1" in words
    assert all(len(line) <= 80 for line in of_recipe)
    assert commands[0] == "kerastune predict --output_dir='my out' --data=NEW.csv"
    assert len(commands) == 3


def test_the_figures_are_those_of_the_models_that_are_handed_out_together():
    several = {"test": {"nll": 0.1, "accuracy": 0.95}}
    handed = {"ensemble": several, "exported": {"model": "ensemble"}, "trial": "baseline"}
    found = {**RESULT, **handed}
    assert verdict.of(found).words.startswith("+2.6 points of accuracy over Keras's defaults")
    assert verdict.figures(found, None) == "Test accuracy 0.9500; Keras's defaults 0.8000."
    # Without a test part they have no figure of their own there.
    found["ensemble"] = {"validation": FIGURES["validation"]}
    assert verdict.figures(found, None) == "Test accuracy 0.8000 with Keras's defaults."
