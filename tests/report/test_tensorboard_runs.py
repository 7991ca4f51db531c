"""TensorBoard's runs of a search, read back."""

import dataclasses

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from kerastune.analysis.trial_curves import Curves
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.stages.learning_rate import LearningRateValues
from kerastune.recipe import Recipe
from kerastune.report import tensorboard_runs
from kerastune.report.figures.picture_time import PictureTime
from kerastune.report.tensorboard_runs import Story
from kerastune.study.database import Study, StudyError
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, TrialSpec

RECIPE = Recipe(learning_rate=0.1, hyperparameters={"learning_rate": 7, "units": None})


def outcome(start, until):
    """One segment with values that are a function of the step."""
    steps = np.arange(start, until)
    norm_steps = steps[steps % 10 == 0]
    return Outcome(
        TrialSpec("lr-01", "lr", RECIPE, start, until, eval_every=25),
        Curves(
            {
                "loss": (1000.0 - steps).astype(np.float32),
                "accuracy": (steps / 8).astype(np.float32),
            },
            norm_steps=norm_steps,
            update_norms=norm_steps[:, None] + 1.0,
            weight_norms=np.full([len(norm_steps), 1], 2.0),
        ),
        evals=tuple(
            {"step": step, "loss": step * 2.0} for step in range(start + 25, until + 1, 25)
        ),
        layers=("hidden",),
    )


def decision():
    after = RECIPE.replace(learning_rate=0.1 / 3, total_steps=4000)
    return Decision(
        "lr",
        RECIPE,
        after,
        "Learning rate 0.0333",
        "Its curve falls fastest.",
        ("lr-01",),
        LearningRateValues(learning_rate=0.1 / 3),
    )


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(tmp_path)


def read(log_dir):
    events = EventAccumulator(str(log_dir), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def scalars(log_dir):
    events = read(log_dir)
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


EXPECTED = {
    "step/loss": [(step, 1000.0 - step) for step in range(100)],
    "step/accuracy": [(step, step / 8) for step in range(100)],
    "validation/loss": [(step, step * 2.0) for step in (25, 50, 75, 100)],
    "weight_update_ratio/hidden": [(step, (step + 1) / 2) for step in range(0, 100, 10)],
    "weight_update_ratio/whole_model": [(step, (step + 1) / 2) for step in range(0, 100, 10)],
}


def test_segments_add_what_is_new_and_nothing_twice(run_dir):
    story = Story(run_dir)
    first = outcome(0, 50)
    story.segment(first, start=0)
    story.segment(outcome(50, 100).after(first), start=50)
    assert scalars(run_dir.trial_board("04-lr", "lr-01")) == EXPECTED


def test_the_tag_of_a_training_loss_says_what_validation_does_not_have(run_dir):
    smooth = outcome(0, 50)
    recipe = RECIPE.replace(label_smoothing=0.1)
    spec = dataclasses.replace(smooth.spec, recipe=recipe)
    Story(run_dir).segment(dataclasses.replace(smooth, spec=spec), start=0)
    found = read(run_dir.trial_board("04-lr", "lr-01")).SummaryMetadata
    told = found("step/loss").summary_description
    assert told == "Training loss of each step (with label smoothing 0.1)."
    assert not found("validation/loss").summary_description


def hyperparameters(run_dir):
    content = (
        read(run_dir.trial_board("04-lr", "lr-01"))
        .SummaryMetadata("_hparams_/session_start_info")
        .plugin_data.content
    )
    started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    return {
        name: getattr(value, value.WhichOneof("kind")) for name, value in started.hparams.items()
    }


def test_hyperparameters_of_the_model_do_not_hide_those_of_the_recipe(run_dir):
    Story(run_dir).segment(outcome(0, 50), start=0)
    found = hyperparameters(run_dir)
    assert (found["1_learning_rate"], found["hp/learning_rate"], found["hp/units"]) == (
        0.1,
        7,
        "None",
    )
    assert (found["stage"], found["2_optimizer"]) == ("lr", "sgd")


def test_a_decision_is_text_with_what_changed_and_a_picture(run_dir):
    Story(run_dir).decision(decision(), {"lr-01": outcome(0, 100)})
    events = read(run_dir.decisions_board)
    tag = next(tag for tag in events.Tags()["tensors"] if tag.startswith("04-lr"))
    text = events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
    assert text.startswith("**Learning rate 0.0333**\n\nIts curve falls fastest.")
    assert "| learning_rate | 0.1 | 0.03333 |" in text and "| total_steps | 1000 | 4000 |" in text
    assert "momentum" not in text
    assert events.Images("why/04-lr")[0].encoded_image_string.startswith(b"\x89PNG")


def test_a_decision_without_change_or_evidence_is_text_alone(run_dir):
    plain = dataclasses.replace(decision(), stage="start", after=RECIPE, evidence=())
    Story(run_dir).decision(plain, {})
    events = read(run_dir.decisions_board)
    tag = next(tag for tag in events.Tags()["tensors"] if tag.startswith("01-start"))
    assert "changed" not in events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
    assert events.Tags()["images"] == []


def test_rewriting_tells_what_the_study_holds_and_nothing_else(run_dir):
    story = Story(run_dir)
    story.segment(
        dataclasses.replace(outcome(0, 50), spec=TrialSpec("lost", "lr", RECIPE, 0, 50)), start=0
    )
    story.segment(outcome(0, 50), start=0)
    whole = outcome(50, 100).after(outcome(0, 50))
    for _ in range(2):
        story.rewrite({"lr-01": whole}, [decision()], RECIPE, "accuracy")
    assert scalars(run_dir.trial_board("04-lr", "lr-01")) == EXPECTED
    assert not run_dir.trial_board("04-lr", "lost").exists()
    assert hyperparameters(run_dir)["stage"] == "lr"  # of a trial that went on, too
    assert read(run_dir.decisions_board).Tags()["images"] == ["why/04-lr"]
    content = read(run_dir.tensorboard).SummaryMetadata("_hparams_/experiment").plugin_data.content
    columns = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert [info.name.tag for info in columns.metric_infos] == [
        "validation/accuracy",
        "validation/loss",
    ]
    assert {"1_learning_rate", "hp/learning_rate", "hp/units"} <= {
        info.name for info in columns.hparam_infos
    }


def test_of_a_long_trial_ever_fewer_steps_are_shown_and_the_first_all(run_dir):
    long = outcome(0, 100)
    count = 4 * tensorboard_runs.WHOLE
    shown = tensorboard_runs.are_shown(np.arange(count))
    assert shown[: tensorboard_runs.WHOLE].all() and shown.sum() == 2 * tensorboard_runs.WHOLE
    # However many segments it has, the same steps.
    halves = np.concatenate(
        [tensorboard_runs.are_shown(part) for part in np.split(np.arange(count), [7001])]
    )
    np.testing.assert_array_equal(shown, halves)
    assert tensorboard_runs.are_shown(np.arange(2**23)).sum() < tensorboard_runs.WHOLE * (
        1 + np.log2(2**23 / tensorboard_runs.WHOLE)
    )
    Story(run_dir).segment(long, start=0)
    assert scalars(run_dir.trial_board("04-lr", "lr-01")) == EXPECTED


def named(name, keeps=False, value=0.0):
    spec = TrialSpec(name, "lr", RECIPE, 0, 50, keep_best=keeps)
    evals = ({"step": 50, "accuracy": value, "loss": 1.0},)
    return dataclasses.replace(outcome(0, 50), spec=spec, evals=evals)


def runs_of(run_dir):
    return sorted(path.name for path in (run_dir.tensorboard / "trials" / "04-lr").iterdir())


def test_of_many_trials_the_first_are_shown_and_those_that_keep_weights(run_dir, monkeypatch):
    monkeypatch.setattr(tensorboard_runs, "MOST_AT_WORK", 2)
    story = Story(run_dir)
    for name, keeps in (("a", False), ("b", False), ("c", False), ("whole", True)):
        story.segment(named(name, keeps), start=0)
    assert runs_of(run_dir) == ["a", "b", "whole"]


def test_of_a_stage_that_has_decided_the_chosen_and_the_best_stay(run_dir, monkeypatch):
    monkeypatch.setattr(tensorboard_runs, "MOST_DECIDED", 2)
    trials = {name: named(name, False, value) for name, value in zip("abcd", (0.1, 0.9, 0.5, 0.2))}
    made = dataclasses.replace(decision(), evidence=tuple(trials), values=ChosenTrial("a"))
    assert tensorboard_runs.surplus(made, trials, "accuracy") == ["c", "d"]
    for rewritten in (False, True):
        story = Story(run_dir, PictureTime(None, lambda: 0.0, is_short=True))
        story.rewrite(trials if rewritten else {}, [made] if rewritten else [], RECIPE, "accuracy")
        if not rewritten:
            for each in trials.values():
                story.segment(each, start=0)
            assert runs_of(run_dir) == ["a", "b", "c", "d"]
            story.decision(made, trials)
        assert runs_of(run_dir) == ["a", "b"]


def test_columns_are_what_differs_with_the_learning_rate_first(run_dir):
    story = Story(run_dir)
    story.rewrite({}, [], RECIPE, "accuracy")
    for name, changes in (("a", {}), ("b", {"batch_size": 128, "learning_rate": 0.3, "seed": 2})):
        spec = TrialSpec(name, "lr", RECIPE.replace(**changes), 0, 50)
        story.segment(dataclasses.replace(outcome(0, 50), spec=spec), start=0)
    story.result({})
    assert shown_columns(run_dir) == ["1_learning_rate", "3_batch_size", "seed", "stage"]
    assert len(list(run_dir.tensorboard.glob("events.*"))) == 1
    assert not run_dir.result_board.exists()  # no run without a picture


def shown_columns(run_dir):
    content = read(run_dir.tensorboard).SummaryMetadata("_hparams_/experiment").plugin_data.content
    columns = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    return [info.name for info in columns.hparam_infos]


def test_decisions_are_one_run_in_the_order_of_the_stages(run_dir):
    story = Story(run_dir)
    for stage in ("start", "train", "lr"):
        story.decision(dataclasses.replace(decision(), stage=stage, evidence=()), {})
    tags = read(run_dir.decisions_board).Tags()["tensors"]
    assert sorted(tag.split("/")[0] for tag in tags) == ["01-start", "04-lr", "12-train"]


def test_files_that_cannot_be_written_are_told_once_and_stop_nothing(run_dir, caplog):
    run_dir.path.mkdir(exist_ok=True)
    run_dir.tensorboard.write_text("a file in the place of the directory")
    story = Story(run_dir)
    story.rewrite({"lr-01": outcome(0, 50)}, [decision()], RECIPE, "accuracy")
    story.segment(outcome(50, 100).after(outcome(0, 50)), start=50)
    story.decision(decision(), {"lr-01": outcome(0, 100)})
    story.result({"a": b""})
    told = [record.getMessage() for record in caplog.records]
    assert (
        len(told) == 1
        and told[0].startswith("TensorBoard files can't be written")
        and "\n" not in told[0]
    )
    assert story.pictures["lr"].startswith(b"\x89PNG")  # the report has them


def test_a_damaged_study_is_no_matter_of_tensorboards(run_dir, tmp_path):
    with Study(tmp_path / "s", tmp_path / "l") as study:
        study.add_segment(outcome(0, 50), None, None)
        study._database.execute("UPDATE curves SET digest = 'x'")
        with pytest.raises(StudyError, match="damaged"):
            Story(run_dir).segment(study.outcomes()["lr-01"], start=0)


def test_curves_come_first_in_the_order_of_tensorboard(run_dir):
    story = Story(run_dir)
    story.rewrite({"lr-01": outcome(0, 100)}, [decision()], RECIPE, "accuracy")
    story.result(story.pictures)
    boards = {path.parent for path in run_dir.tensorboard.rglob("events.*")}
    found = [read(board).Tags() for board in boards]
    groups = {tag.partition("/")[0] for tags in found for tag in tags["scalars"] + tags["images"]}
    assert sorted(groups) == ["step", "validation", "weight_update_ratio", "why"]
