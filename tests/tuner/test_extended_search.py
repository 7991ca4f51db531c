"""`budget="+…"` on the directory of a search: it goes on, once, and never to a worse result."""

import shutil

import keras
import numpy as np
import pytest

from kerastune import PlaybookTuner
from kerastune.objective import Objective
from kerastune.playbook import extending
from kerastune.playbook.stages import registry
from kerastune.report import writer
from kerastune.report.summaries import verdict
from kerastune.study import extensions
from kerastune.study.database import Record, StudyError
from kerastune.study.run_directory import RunDir
from kerastune.tuner import extended

ACCURACY = Objective("accuracy", "max")


def toy(seed=0, num_examples=400):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(num_examples, 6)).astype("float32")
    return x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype("int32")


def build(hp):
    return keras.Sequential(
        [keras.Input([6]), keras.layers.Dense(16, "relu"), keras.layers.Dense(2, "softmax")]
    )


class Tuner(PlaybookTuner):
    """Is stopped after some trials."""

    trials_left = 10**6

    def on_trial_begin(self, trial):
        super().on_trial_begin(trial)
        self.trials_left -= 1
        if self.trials_left < 0:
            raise KeyboardInterrupt


def search(directory, budget, stops_after=None, seed=0, **changes):
    x, y = toy(seed)
    tuner = Tuner(build, budget=budget, directory=directory, tta=False, **changes)
    if stops_after is not None:
        tuner.trials_left = stops_after
    tuner.search(x[:300], y[:300], validation_data=(x[300:], y[300:]), verbose=0)
    return tuner


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    search(directory, "1000steps")
    return directory


@pytest.fixture
def directory(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def recorded(directory):
    with Record(directory / "playbook" / "study.sqlite") as record:
        return extensions.read(record), record.decisions(), record.fact("result")


def test_more_budget_goes_on_and_is_told_beside_what_there_was(directory):
    _, before, result = recorded(directory)
    tuner = search(directory, "+2000steps")
    (extension,), after, _ = recorded(directory)
    assert after[: len(before)] == before and len(after) > len(before)
    told = tuner.result["extensions"]
    assert [each["budget"] for each in told] == ["1000steps", "+2000steps"]
    final = tuner.result["final"]["validation"]["accuracy"]
    assert final >= result["final"]["validation"]["accuracy"] == told[0]["validation"]["accuracy"]
    steps = sum(cost["steps"] for cost in tuner.result["stages"].values())
    assert extension.steps < steps <= extension.steps + 2000
    for name in ("report.html", "report.md"):
        text = (directory / "playbook" / name).read_text()
        assert "Extended: 1000steps accuracy" in text and "train (extension 1)" in text
    # The same search, asked for as it was begun, hands out the same.
    assert search(directory, "1000steps").result == tuner.result
    again = Tuner(build, budget="1000steps", directory=directory, tta=False)
    again.reload()
    assert again.result == tuner.result and again.recipe == tuner.recipe


@pytest.mark.slow
def test_a_command_that_is_given_again_after_a_crash_extends_once(directory):
    with pytest.raises(KeyboardInterrupt):
        search(directory, "+2000steps", stops_after=1)
    with pytest.raises(ValueError, match=r"the extension by \+2000steps has not ended"):
        search(directory, "+3000steps")
    page = (directory / "playbook" / "report.html").read_text()
    with Record(directory / "playbook" / "study.sqlite") as record:
        before = extending.in_force(map(registry.decision, record.decisions()), {0})[-1].after
        writer.write(RunDir(directory / "playbook"), record)
    anew = (directory / "playbook" / "report.html").read_text()
    for text in (page, anew):
        assert "The extension by +2000steps stopped at stage" in text
        assert text.index("the result before it stays in force") < text.index('<p class="verdict')
        assert 'data-running="no"' in text
        assert verdict.recipe_in_words(before) in text and "is not finished" not in text
        assert "load_model" in text
    search(directory, "+2000steps")
    assert len(recorded(directory)[0]) == 1
    search(directory, "+1000steps")
    assert [each.budget for each in recorded(directory)[0]] == ["+2000steps", "+1000steps"]


@pytest.mark.slow
def test_a_search_that_was_stopped_comes_to_its_end_first(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, "1000steps", stops_after=3)
    tuner = search(tmp_path, "+1000steps")
    (extension,), decisions, result = recorded(tmp_path)
    assert extension.decided == sum(not each["extension"] for each in decisions)
    assert result["budget"] == "1000steps" and tuner.result["budget"] == "1000steps+1000steps"


def test_what_is_no_search_or_another_one_is_refused_by_name(directory, tmp_path):
    with pytest.raises(ValueError, match=r"`budget` \(\+600s\) extends a search.*holds none"):
        search(tmp_path / "new", "+10m")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match=r"must be in the unit of the search's \(1000steps\)"):
        search(directory, "+10m")
    with pytest.raises(ValueError, match="`overwrite=True` deletes it"):
        search(directory, "+1000steps", overwrite=True)
    with pytest.raises(StudyError, match="`contents of the data`"):
        search(directory, "+1000steps", seed=1)
    assert recorded(directory)[0] == []


def result(accuracy, extension=0, model="final", **others):
    figures = {"validation": {"accuracy": accuracy, "nll": 1 - accuracy}}
    of_search = {"seconds": 1.0 + extension, "stages": {}, "other_seconds": 0.0}
    named = {"exported": {"model": model}, "extension": extension, "scored_by": "accuracy"}
    return {
        "final": figures,
        "budget": "+9s" if extension else "5s",
        **of_search,
        **named,
        **others,
    }


@pytest.mark.parametrize("accuracy, kept", [(0.8, 0), (0.9, 0), (0.95, 1)])
def test_validation_chooses_and_a_tie_changes_nothing(accuracy, kept):
    found = extended.better(result(accuracy, 1), result(0.9), ACCURACY)
    assert found["extension"] == kept and found["seconds"] == 2.0 and found["budget"] == "5s+9s"
    assert [each["validation"]["accuracy"] for each in found["extensions"]] == [0.9, accuracy]


def test_what_is_handed_out_is_compared_by_the_objective(tmp_path):
    combined = {"validation": {"accuracy": 0.97, "nll": 0.3}}
    earlier = result(0.9, model="ensemble", ensemble=combined)
    assert extended.better(result(0.95, 1), earlier, ACCURACY)["extension"] == 0
    assert extended.better(result(0.95, 1), earlier, Objective("nll", "min"))["extension"] == 1
    refitted = result(0.95, 1, model="refit", refit={"test": {"accuracy": 0.1}})
    assert extended.better(refitted, result(0.9), ACCURACY)["extension"] == 1


def test_an_objective_that_an_ensemble_has_no_figure_of_is_compared_by_what_both_have():
    auc = Objective("auc", "max")
    single = result(0.95, 1)
    single["final"]["validation"]["auc"] = 0.99
    earlier = result(0.9, model="ensemble", ensemble={"validation": {"accuracy": 0.97}})
    assert extended.better(single, earlier, auc)["extension"] == 0
