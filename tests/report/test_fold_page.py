"""The page of a cross-validation: verdict, picture and what to do next are on its first screen."""

import numpy as np
from test_report import ABOUT, RECIPE

from kerastune.report import fold_sections, html
from kerastune.report.figures import plotting
from kerastune.report.fold_sections import FoldsFound
from kerastune.trial import Outcome, TrialSpec

ROW = {"mean": 0.9, "std": 0.02, "low": 0.85, "high": 0.95}
FOLD = {"trained on": 8, "held out": 4, "steps": 100, "seconds": 1.0}


def found(scored_by="accuracy"):
    folds = [
        {**FOLD, "name": f"fold-{number}", "metrics": {"accuracy": value, "macro_f1": value / 2}}
        for number, value in ((1, 0.95), (2, 0.85))
    ]
    result = {
        **{
            "folds": 2,
            "repeats": 1,
            "examples": 8,
            "grouped": False,
            "stratified": True,
            "by time": False,
        },
        **{"summary": {"accuracy": ROW, "macro_f1": {**ROW, "mean": 0.45}}, "by fold": folds},
        **{"out of fold": {"accuracy": ROW}, "recipe": RECIPE.to_dict()},
    }
    spec = TrialSpec("fold-1", "crossval", RECIPE, 0, 100)
    outcomes = {"fold-1": Outcome(spec, {"loss": np.ones(100, np.float32)})}
    about = {**ABOUT, "scored_by": scored_by, "columns": [["city", "category", "4", "", "Ulm"]]}
    pictures = {"folds": plotting.png(plotting.panels(1)[0])}
    flagfile = "# So\n--data=toy\n"
    return FoldsFound(result, outcomes, about, flagfile, "/a/cv out", pictures=pictures)


def test_the_first_screen_tells_the_story():
    text = html.render("t", fold_sections.below(found()), fold_sections.first_screen(found()))
    first, rest = text.split("<nav>")
    assert "Mean accuracy 0.9000 over 2 folds, 95 % interval 0.8500 to 0.9500." in first
    assert "Lowest 0.8500 (fold-2), highest 0.9500 (fold-1)" in first and "By fold" in first
    assert first.count("<figure") == 1 and "learning rate 0.1" in first
    assert "export" in first and "&#39;/a/cv out/crossval.flags&#39;" in first
    assert "Mean accuracy" not in rest and "All 8 held-out" not in rest  # nothing twice
    assert 'id="metrics"' in rest and "<td>macro-F1</td>" in rest
    assert "What every column became" in rest and "<td>Ulm</td>" in rest


def test_the_verdict_is_on_what_models_are_compared_by():
    assert "Mean macro-F1 0.4500" in fold_sections.first_screen(found("macro-F1")).verdict
    assert fold_sections.first_screen(found("loss")).verdict.startswith("Mean accuracy")
