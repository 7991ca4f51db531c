"""Why something was not chosen: what was tried, what it gave, what would change the answer."""

import dataclasses

import numpy as np
import pytest

from kerastune.analysis.comparison import Comparison
from kerastune.objective import Objective
from kerastune.playbook.decision import Decision
from kerastune.playbook.rules.hill_climb import Tried
from kerastune.playbook.stages import registry
from kerastune.recipe import Recipe
from kerastune.report.summaries import alternatives, why
from kerastune.report.summaries.alternatives import Alternative, Compared
from kerastune.trial import Outcome, TrialSpec

ACCURACY = Objective("accuracy", "max")
BASE = Recipe(optimizer="sgd", learning_rate=0.1, batch_size=32)
SCORES = (np.arange(200) % 5 > 0).astype(np.float32)


def outcome(name, recipe, accuracy, level, scores=None, diverged_at=None):
    losses = np.full(100, level, np.float32)
    evals = ({"step": 100, "accuracy": accuracy, "loss": 1.0},)
    spec = TrialSpec(name, "batch", recipe, 0, 100)
    return Outcome(
        spec, {"loss": losses}, evals=evals, example_scores=scores, diverged_at=diverged_at
    )


OUTCOMES = {
    "batch-32": outcome("batch-32", BASE, 0.8, 0.2, SCORES),
    "batch-256": outcome(
        "batch-256", BASE.replace(batch_size=256), 0.7, 0.5, SCORES * (np.arange(200) > 20)
    ),
    "batch-adam": outcome("batch-adam", BASE.replace(optimizer="adam"), 0.6, 0.9, None, 7),
    "dropout": outcome("dropout", BASE.replace(dropout=0.3), 0.81, 0.3),
}
TRIED = Tried("dropout", "dropout 0.3", Comparison(0.01, -0.01, 0.03))


def decisions():
    batch = Decision(
        "batch",
        BASE,
        BASE,
        "Batch size 32",
        "It is best.",
        ("batch-32", "batch-256", "batch-adam"),
        registry.find("batch").values(winner="32"),
    )
    weights = Decision("weights", BASE, BASE, "Class weights not tried", "No class is rare.")
    found = registry.find("regularize").values(gains=[TRIED])
    regularize = Decision("regularize", BASE, BASE, "None kept", "No.", ("dropout",), found)
    return [batch, weights, regularize]


def answer(text):
    return why.answer(text, searched(decisions()))


def searched(decided, in_force=None):
    found = decided if in_force is None else in_force
    return why.Searched(decided, found, OUTCOMES, ACCURACY, "accuracy")


def test_settings_are_named_by_what_differs_and_the_chosen_stands_first():
    found = alternatives.of_decision(decisions()[0], OUTCOMES, ACCURACY)
    assert [each.words for each in found.rows] == [
        "SGD, batch size 32",
        "SGD, batch size 256",
        "Adam, batch size 32",
    ]
    assert [each.is_chosen for each in found.rows] == [True, False, False]
    assert found.rows[1].gain.gain == pytest.approx(-16 / 200)
    assert found.rows[2].note == "diverged at step 7" and found.rows[2].loss is None


@pytest.mark.parametrize(
    "text, words",
    [
        ("batch_size=256", "SGD, batch size 256 (stage batch): It was -8 points"),
        ("batch-size", "significantly worse. No larger budget"),
        ("adam", "Adam, batch size 32 (stage batch): It diverged at step 7."),
        ("dropout", "dropout 0.3 (stage regularize): It was +1 points of accuracy"),
        ("dropout", "about 800 validation examples would show it"),
        ("class_weights", "Stage weights: Class weights not tried. No class is rare."),
        ("label_smoothing=0.1", "label_smoothing=0.1 was not tried."),
        ("frozen", "Stage finetune, which would try it, was not among the stages."),
        ("weights", "No class is rare."),
        ("batch", "not SGD, batch size 256: "),
        ("", "regularize: None kept."),
        ("batch_size=32", "batch_size=32 was chosen, as it was given."),
        ("batch_size=32", "SGD, batch size 256 (stage batch): It was -8 points"),
    ],
)
def test_a_question_is_answered_from_what_was_tried(text, words):
    assert words in "\n".join(answer(text))


def test_only_what_was_asked_for_is_told():
    assert "256" not in "\n".join(answer("adam"))
    assert "Adam" not in "\n".join(answer("batch_size=256"))


def test_what_is_no_value_is_refused_with_what_was_meant():
    with pytest.raises(ValueError, match="did you mean `dropout`"):
        answer("dropuot")


def test_before_any_decision_nothing_is_claimed():
    assert why.answer("", searched([])) == ["No stage has decided yet."]


def test_what_an_extension_chose_that_gained_nothing_is_told_as_not_in_force():
    first = decisions()
    batch = dataclasses.replace(first[0], before=BASE.replace(batch_size=64))
    changed = BASE.replace(dropout=0.3)
    again = dataclasses.replace(
        first[2], after=changed, headline="Dropout kept", values=None, extension=1
    )
    decided = [batch, *first[1:], again]
    found = searched(decided, decided[:3])
    kept, tried, chosen = why.answer("dropout", found)
    assert kept == "dropout: none was chosen, as it was given." and "+1 points" in tried
    assert chosen == f"  dropout=0.3 (stage regularize (extension 1)): {why.NOT_IN_FORCE}"
    assert "not tried" not in "\n".join(why.answer("dropout=0.3", found))
    told = why.answer("regularize", found)
    at = told.index("regularize (extension 1): Dropout kept.")
    assert why.NOT_IN_FORCE in "".join(told[at:]) and why.NOT_IN_FORCE not in "".join(told[:at])
    assert why.answer("dropout", searched(decided))[0].startswith("dropout: 0.3 was chosen by")


@pytest.mark.parametrize(
    "gain, words",
    [
        (Comparison(-0.05, -0.08, -0.02), "significantly worse"),
        (Comparison(-0.01, -0.03, 0.01), "It would have to gain more than +2 points"),
        (Comparison(0.02, 0.01, 0.03), "with one seed"),
        (Comparison(0.02, -0.02, 0.06), "about 800 validation examples"),
    ],
)
def test_what_would_change_the_answer(gain, words):
    assert words in why.changes(Alternative("a", gain=gain), Compared(), "accuracy", 200)


def test_curves_are_compared_where_no_example_was():
    chosen, other = Alternative("a", is_chosen=True, loss=0.1), Alternative("b", loss=0.2)
    told = why.changes(other, Compared(rows=(chosen, other)), "accuracy", 200)
    assert "behind (0.2 against 0.1)" in told


def test_what_an_earlier_stage_trained_is_the_chosen_one_where_its_recipe_is():
    first = decisions()[0]
    found = {"lr-0.1": OUTCOMES["batch-32"], "batch-256": OUTCOMES["batch-256"]}
    reused = dataclasses.replace(
        first, evidence=("batch-256", "lr-0.1"), values=registry.find("batch").values(winner="32-x")
    )
    compared = alternatives.of_decision(reused, found, ACCURACY)
    assert [each.words for each in compared.rows if each.is_chosen] == ["batch size 32"]
    assert [each.words for each in compared.others] == ["batch size 256"]


def test_trainings_that_differ_in_their_length_alone_have_it_in_their_names():
    longer = outcome("train-200", BASE, 0.8, 0.1, SCORES)
    longer = dataclasses.replace(longer, curves={"loss": np.full(200, 0.1, np.float32)})
    found = {"train-100": OUTCOMES["batch-32"], "train-200": longer, "adam": OUTCOMES["batch-adam"]}
    decided = Decision("train", BASE, BASE, "So", "It is.", tuple(found))
    compared = alternatives.of_decision(decided, found, ACCURACY)
    words = {each.words for each in compared.rows}
    assert words == {"SGD, 100 steps", "SGD, 200 steps", "Adam"} and compared.common == 100


def test_one_training_is_compared_with_no_ensemble():
    values = registry.find("ensemble").values(gain=Comparison(0.0, 0.0, 0.0))
    for evidence, count in (("a",), 0), (("a", "b"), 1):
        decided = Decision("ensemble", BASE, BASE, "None", "No.", evidence, values)
        assert len(alternatives.of_decision(decided, {}, ACCURACY).rows) == count
