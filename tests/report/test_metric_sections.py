"""The rarer of two classes in a report: beside the headline, and as a table of its own."""

import numpy as np
import pytest

from kerastune.analysis import rare_class
from kerastune.report import metric_sections, search_sections
from kerastune.report.summaries import verdict

TRUE = np.array([0] * 18 + [1] * 2)
SCORES = np.linspace(0, 0.6, 20)
PROBABILITIES = np.stack([1 - SCORES, SCORES], axis=1)


@pytest.fixture
def result():
    validation = rare_class.figures(TRUE, PROBABILITIES)
    test = rare_class.figures(TRUE, PROBABILITIES[::-1], validation["threshold"])
    # As JSON with sorted names has it.
    figures = {"test": {"accuracy": 0.9, "auc": 0.7}, "validation": {"accuracy": 0.9, "auc": 1.0}}
    return {
        "final": figures,
        "rare_class": {"test": test, "validation": validation},
        "classes": ["no", "yes"],
        "scored_by": "accuracy",
    }


def test_the_sentence_is_of_the_test_part(result):
    told = metric_sections.sentence(result)
    assert told.startswith("yes (10.0 % of test): ROC AUC 0.0000, ")
    assert "accuracy of 0.9000" in told
    del result["rare_class"]["test"]
    assert metric_sections.sentence(result).startswith("yes (10.0 % of validation): ROC AUC 1.0000")


def test_the_table_has_both_parts_and_the_threshold_that_validation_chose(result):
    section = metric_sections.rare_class(result)
    offered, table = section.blocks
    assert section.title == "The rarer class: yes"
    assert f"From {SCORES[18]:.4f} on" in offered.words and "on validation" in offered.words
    cells = {row[0]: row[1:] for row in table.rows}
    assert table.header == ("metric", "validation", "test")
    assert cells["F1, from the threshold on"] == ("1.0000", "0.0000")
    assert cells["recall, where it is likelier"] == ("1.0000", "0.0000")


def test_its_figures_are_no_models(result):
    assert list(search_sections.models(result)) == ["final"]


def test_without_two_classes_there_is_nothing_to_say():
    assert metric_sections.rare_class({}) is None and metric_sections.sentence({}) == ""


@pytest.mark.parametrize("objective, shown", [("auc", "auc 0.7"), ("accuracy", "accuracy 0.9")])
def test_the_headline_is_the_metric_that_chose(result, objective, shown):
    told = verdict.figures({**result, "objective": objective}, None)
    assert told.startswith(f"Test {shown}")
