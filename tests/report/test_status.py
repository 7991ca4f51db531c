"""How a search stands, as another terminal is told."""

import dataclasses
import fcntl

import numpy as np
import pytest

from kerastune.budget import Budget
from kerastune.cli import entry
from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.report import status
from kerastune.study.database import Study, StudyError
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, TrialSpec

SETTINGS = {"budget": "240s", "stages": ["start", "lr", "train"]}


@pytest.fixture
def run_dir(tmp_path):
    found = RunDir(tmp_path / "out")
    found.open()
    return found


def fill(study, **settings):
    study.settings({**SETTINGS, **settings})
    study.add_decision(
        "start",
        Decision("start", Recipe(), Recipe(), "Batch size 64", "64 is a good start.").to_dict(),
    )
    for rate, diverged_at in ((0.1, None), (1.0, 7)):
        spec = TrialSpec(
            f"lr-{rate:g}", "lr", Recipe(learning_rate=rate, total_steps=100), 0, 100, 50
        )
        evals = ({"step": 100, "loss": 0.25, "accuracy": 0.9},)
        study.add_segment(
            Outcome(spec, {"loss": np.full(100, 0.5)}, evals, diverged_at=diverged_at), None, None
        )


def told(run_dir):
    return "\n".join(status.lines(status.read(run_dir)))


def test_a_running_search_says_who_where_and_what_is_left(run_dir):
    now = [0.0]
    with Study(run_dir.study, run_dir.lock, clock=lambda: now[0]) as study:
        now[0] = 90.0
        fill(study)
        study.announce(
            [
                "lr: lr-3, steps 0 to 100, since 10:00:00",
                "lr: lr-4, steps 50 to 100, since 10:00:01",
            ]
        )
        words = told(run_dir)
    assert "Running trials:\n  lr: lr-3, steps 0 to 100, since 10:00:00\n  lr: lr-4" in words
    assert words.startswith("Running (process ") and "at stage lr, 1 of 3 stages decided" in words
    assert "Used: 90 s, 200 steps in 2 trials. Left: 150 of 240 s." in words
    assert "  start: Batch size 64.\n    64 is a good start." in words
    values = "validation accuracy 0.9000, validation loss 0.2500"
    assert f"lr-0.1: 100 steps, loss 0.5000, {values}" in words
    assert "lr-1: diverged at step 7" in words


def test_the_standing_of_an_extension_names_it_and_what_stays(run_dir):
    now = [0.0]
    with Study(run_dir.study, run_dir.lock, clock=lambda: now[0]) as study:
        now[0] = 90.4
        fill(study)
    found = dataclasses.replace(status.read(run_dir), budget=Budget(seconds=104.737930831005))
    of_search = status.standing(found)
    assert of_search.stopped.startswith("The search stopped at stage lr") and not of_search.before
    assert "90 s so far, 14 of 105 s left." in of_search.stopped
    extended = status.standing(dataclasses.replace(found, added="+1m"))
    assert extended.stopped.startswith("The extension by +1m stopped at stage lr")
    assert "the result before it stays in force" in extended.before


def test_a_stopped_search_says_how_it_goes_on_and_a_finished_one_that_it_is(run_dir, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/kerastune", "tune", "--data=my data.npz", "--overwrite"])
    now = [0.0]
    with Study(run_dir.study, run_dir.lock, clock=lambda: now[0]) as study:
        now[0] = 4.0
        fill(study, budget="6000steps")
    words = told(run_dir)
    command = f"kerastune tune '--data=my data.npz' --output_dir={run_dir.path}"
    assert words.startswith(f"Stopped at stage lr: continue with:\n  {command}\n")
    assert "Left: 5,800 of 6,000 steps (at most 116 s at the current speed)." in words
    monkeypatch.chdir("/")
    assert f" && {command}\n" in told(run_dir) and "cd " in told(run_dir)
    with Study(run_dir.study, run_dir.lock) as study:
        study.put_fact("result", {})
    assert told(run_dir).startswith("Finished.\nUsed")


def test_a_lock_that_says_nothing_leaves_a_general_word(run_dir):
    with Study(run_dir.study, run_dir.lock) as study:
        fill(study)
    for text in ("", "x", "process 1 on a\nnot json", "process 1 on a\n[]", "a\n" + "[" * 100_000):
        run_dir.lock.write_text(text)
        assert told(run_dir).startswith(
            "Stopped at stage lr: run the same command again to continue.\nUsed"
        )


def test_a_look_does_not_stop_a_search_from_beginning(run_dir, monkeypatch):
    with Study(run_dir.study, run_dir.lock) as study:
        fill(study)
    looks = []

    def look_ends(seconds):
        looks.pop().close()

    looks.append(open(run_dir.lock))
    fcntl.flock(looks[0], fcntl.LOCK_SH)
    monkeypatch.setattr("time.sleep", look_ends)
    with Study(run_dir.study, run_dir.lock):
        assert not looks
    with Study(run_dir.study, run_dir.lock):
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(StudyError, match="in use by process"):
            Study(run_dir.study, run_dir.lock)


def test_the_command_prints_it_and_refuses_what_is_no_search(run_dir, capsys):
    with Study(run_dir.study, run_dir.lock) as study:
        fill(study)
    assert entry.main(["status", f"--output_dir={run_dir.path}"]) == 0
    assert capsys.readouterr().out.startswith("Stopped at stage lr")
    for arguments in (["status"], ["status", f"--output_dir={run_dir.path}-other"]):
        assert entry.main(arguments) == 2
        assert "output_dir" in (words := capsys.readouterr().err) or "output directory" in words
