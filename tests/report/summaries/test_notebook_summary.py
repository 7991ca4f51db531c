"""What a notebook shows: whatever is there so far, and names as nothing but text."""

from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.report.blocks import Drawing
from kerastune.report.summaries import notebook

EVIL = "<script>alert(1)</script>"
RESULT = {
    "final": {"validation": {"accuracy": 0.9}},
    "scored_by": "accuracy",
    "stages": {"lr": {"seconds": 2.5, "steps": 9}},
}


def test_a_search_is_a_verdict_and_a_row_a_stage(tmp_path):
    report = tmp_path / "report.html"
    decided = [Decision("lr", Recipe(), Recipe(), "Learning rate 0.1", EVIL)]
    told = notebook.of_search(RESULT, Recipe(), decided, "accuracy", report)
    assert "there is no baseline" in told and "Validation accuracy 0.9000" in told
    assert told.count("<tr>") == 1 and "2.5 s" in told and "Report" not in told
    report.touch()
    assert str(report) in notebook.of_search(RESULT, Recipe(), decided, "accuracy", report)
    assert "Nothing was searched yet" in notebook.of_search({}, Recipe(), [], "loss", report)


def test_names_are_text():
    decided = Decision("lr", Recipe(), Recipe(), EVIL, EVIL)
    recipe = Recipe(hyperparameters={"kind": EVIL})
    figures = notebook.Figures({EVIL: Drawing(b"", "<svg></svg>")})
    for each in (decided, recipe, figures):
        assert "<script" not in each._repr_html_()
    assert "&lt;script&gt;" in recipe._repr_html_()


def test_a_recipe_shows_what_is_not_usual():
    told = Recipe(dropout=0.3)._repr_html_()
    assert "dropout" in told and "learning_rate" in told and "label_smoothing" not in told
