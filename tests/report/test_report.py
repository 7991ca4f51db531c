"""The report: what it says when, that it is only text, and that it needs nothing else."""

import base64
import dataclasses
import hashlib
import html
import html.parser
import itertools
import re

import numpy as np
import pytest

from kerastune.playbook.decision import Decision
from kerastune.playbook.stages.train import TrainValues
from kerastune.recipe import Recipe
from kerastune.report import examples, markdown, search_sections
from kerastune.report import html as html_module
from kerastune.report.blocks import Code, Items, Picture, Section, Table, Text
from kerastune.report.figures import result_figures
from kerastune.report.predictions import Mistakes, Predictions
from kerastune.report.search_sections import Findings
from kerastune.trial import Outcome, TrialSpec

EVIL = "<script>alert(1)</script>\"'|`*[x](http://evil)\n# \x1b[31m\u202e$_&"
RECIPE = Recipe(learning_rate=0.1, hyperparameters={"units": 8})
FIGURES = {"accuracy": 0.75, "macro_f1": 0.7}
RESULT = {
    **{name: {"validation": FIGURES, "test": FIGURES} for name in ("baseline", "final")},
    "gain": {"mean": 0.02, "low": 0.01, "high": 0.03},
    "scored_by": "accuracy",
    "trial": "train-100",
    "budget": "60s",
    "seconds": 12.0,
    "other_seconds": 9.0,
}
ABOUT = {
    "data": "toy",
    "kind": "classification",
    "class_names": ["a", "b"],
    "parts": {"training": 10, "validation": 4, "test": 4},
    "parameters": 1234,
    "objective": "val_accuracy, max",
    "notes": ["4 examples were cut off."],
    "environment": {"keras": "3"},
}


def outcome(name="train-100"):
    losses = np.linspace(2, 1, 100, dtype=np.float32)
    evals = ({"step": 100, "loss": 1.0, "accuracy": 0.75},)
    return Outcome(
        TrialSpec(name, "train", RECIPE, 0, 100), {"loss": losses}, evals=evals, seconds=3.0
    )


def classes(names=("a", "b"), pictures=None):
    outputs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]], np.float32)
    mistakes = Mistakes("test", np.array([1]), pictures, ("x0",), np.array([["3.5"]]))
    return Predictions(
        names, {"test": np.array([0, 0, 1, 0])}, {"final": {"test": outputs}}, "final", mistakes
    )


def numbers():
    true, outputs = np.arange(20.0)[:, None], np.arange(20.0)[:, None] + 0.5
    return Predictions(
        (), {"test": true}, {"final": {"test": outputs}}, "final", Mistakes("test", np.array([3]))
    )


def findings(**changes):
    decision = Decision(
        "train",
        Recipe(),
        RECIPE,
        "Final model: the tuned recipe",
        "It is the best.",
        ("train-100",),
        TrainValues("train-100"),
    )
    values = {
        "decisions": [decision],
        "outcomes": {"train-100": outcome()},
        "result": RESULT,
        "about": ABOUT,
    }
    return Findings(
        **{
            **values,
            "recipe": RECIPE,
            "flagfile": "--data=digits\n",
            "where": "/tmp/out",
            **changes,
        }
    )


def titles(found):
    return [section.title for section in search_sections.sections(found)]


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def evil():
    png = result_figures.spending({EVIL: (1, 1.0)})
    blocks = (
        Text(EVIL),
        Items((EVIL,)),
        Table(EVIL, (EVIL,), ((EVIL,),)),
        Picture("evil", EVIL, png),
        Code(EVIL),
    )
    return EVIL, [Section(EVIL, blocks)]


def test_users_text_is_nothing_but_text_in_html(evil):
    text = html_module.render(*evil)
    page = Page(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "img"})
    # One script, ours: the browser runs no other, since the policy holds its digest alone.
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[:1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert html_module.policy(script) == html.unescape(policy)
    assert f"script-src 'sha256-{digest}'" in html.unescape(policy)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "\x1b" not in text and "\u202e" not in text
    assert sum("<script>alert(1)</script>" in words for words in page.texts) >= 6  # shown as it is


def test_users_text_is_nothing_but_text_in_markdown(evil):
    text = markdown.render(*evil, "report")
    outside = text[: text.index("```")]
    assert "<script>" not in outside and not re.search(r"(?<!\\)\]\(http", outside)
    assert "\x1b" not in text and "\u202e" not in text
    rows = [line for line in outside.splitlines() if line.startswith("| ")]
    assert all(line.count("|") == 2 for line in rows) and len(rows) == 3
    assert [line for line in outside.splitlines() if line.startswith("# ")] == [
        text.splitlines()[0]
    ]


@pytest.mark.parametrize("text", ["- a", "1. a", "+ a", "# a", "---"])
def test_a_sentence_does_not_become_a_list_or_a_heading(text):
    assert "\\" in markdown.escaped(text)
    assert markdown.escaped("0.5 of 3") == "0.5 of 3"


def test_code_can_not_leave_its_fence():
    text = markdown.render("t", [Section("s", (Code("a\n```\n<b>"),))], "report")
    assert text.count("````") == 2


def test_the_page_is_self_contained():
    kept = classes()
    pictures = result_figures.drawn(RESULT, {"train": (100, 3.0)}, kept)
    page = Page(
        html_module.render(
            "t", search_sections.sections(findings(predictions=kept, pictures=pictures))
        )
    )
    sources = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href")
    ]
    assert sources and all(value.startswith("#") for value in sources)
    links = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name == "xlink:href"
    ]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in links)
    images = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert len(images) == len(pictures) and all(each["aria-label"] for each in images)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(
        after <= before + 1 for before, after in itertools.pairwise(levels)
    )
    for each in html_module.TEMPLATES.iterdir():
        text = each.read_text()
        assert "url(" not in text and "@import" not in text and "://" not in text


def test_sections_are_there_with_their_data_and_absent_without():
    everything = [
        "Result",
        "Decisions",
        "Error analysis",
        "Cost",
        "Recipe",
    ]
    assert titles(findings(predictions=classes())) == [*everything, "Data and environment"]
    nothing = Findings(decisions=[], outcomes={}, result={}, about={}, recipe=None)
    assert titles(nothing) == ["Result"]
    assert "not finished" in html_module.render(
        search_sections.title(nothing), search_sections.sections(nothing)
    )


def parts(found):
    return [part.title for section in search_sections.sections(found) for part in section.parts]


def test_classes_have_their_tables_and_numbers_their_errors():
    of_classes = ["Classes", "Calibration", "Worst mistakes"]
    assert parts(findings(predictions=classes(), decisions=[])) == of_classes
    assert parts(findings(predictions=numbers(), decisions=[])) == ["Errors", "Worst mistakes"]
    assert "half of the errors lie between 0.5 and 0.5" in markdown.render(
        "t", search_sections.sections(findings(predictions=numbers())), "report"
    )


def test_a_stage_that_nobody_knows_is_shown_with_its_values():
    decision = Decision(
        "moonlight",
        RECIPE,
        RECIPE,
        "Full moon",
        "The moon is full.",
        (),
        {"phases": {"new": 0.125}},
    )
    text = html_module.render("t", search_sections.sections(findings(decisions=[decision])))
    assert (
        "moonlight" in text
        and "The moon is full." in text
        and "phases / new" in text
        and "0.125" in text
    )


def test_a_refit_model_is_told_of():
    refit = {"test": {"accuracy": 0.7654}}
    (result,) = [
        each
        for each in search_sections.sections(findings(result={**RESULT, "refit": refit}))
        if each.title == "Result"
    ]
    told = str(result.blocks)
    assert "0.7654" in told
    assert "refit: the final model, trained again on training and validation data" in told
    assert "refit" not in str(search_sections.sections(findings()))


def test_later_gains_have_a_sentence_each():
    gained = RESULT | {
        "gain_of_ensemble": {"mean": 0.01, "low": 0.005, "high": 0.015},
        "gain_of_views": {"mean": 0.01, "low": -0.005, "high": 0.015},
    }
    text = markdown.render("t", search_sections.sections(findings(result=gained)), "report")
    assert (
        "The ensemble is significantly better than the final model (+1 points of accuracy" in text
    )
    views = (
        "The model with test-time augmentation is not significantly different from the model "
        "without"
    )
    assert views in text


def test_worst_mistakes_are_pictures_or_rows():
    pictures = np.zeros([1, 8, 8, 1], np.uint8)
    assert "mistakes" in result_figures.drawn(RESULT, {}, classes(pictures=pictures))
    assert "mistakes" not in result_figures.drawn(RESULT, {}, classes())
    text = markdown.render("t", search_sections.sections(findings(predictions=classes())), "report")
    assert "| 1 | a | b | 0.800 | 0.200 | 3.5 |" in text


@pytest.mark.parametrize("kept", [classes(("$a$", EVIL)), numbers()], ids=["classes", "numbers"])
def test_pictures_of_the_result_are_drawn_whatever_the_names_are(kept):
    drawn = result_figures.drawn(RESULT, {"$lr_{": (10, 1.0)}, kept)
    assert {"spending", "result"} < set(drawn)
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())


def test_predictions_are_the_same_again():
    kept = classes(("<a>", "b\n"), np.ones([1, 8, 8, 3], np.uint8))
    again = Predictions.from_bytes(kept.to_bytes())
    assert (again.class_names, again.final, again.part) == (kept.class_names, "final", "test")
    np.testing.assert_array_equal(again.outputs["final"]["test"], kept.outputs["final"]["test"])
    assert again.mistakes.columns == ("x0",) and again.mistakes.rows.tolist() == [["3.5"]]
    np.testing.assert_array_equal(again.mistakes.pictures, kept.mistakes.pictures)
    assert (
        Predictions.from_bytes(dataclasses.replace(kept, mistakes=None).to_bytes()).mistakes is None
    )


def test_what_is_an_image_and_what_is_none():
    assert examples.pictures(np.zeros([2, 300, 200, 3])).shape == (2, 75, 50, 3)
    assert examples.pictures(np.zeros([2, 100, 3])) is None  # a series
    assert examples.pictures({"table": np.zeros([2, 5]), "photo": np.zeros([2, 16, 16])}).shape == (
        2,
        16,
        16,
        1,
    )
