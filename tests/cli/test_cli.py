"""The command line as a user meets it: what it leaves, what it refuses, and what it survives."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune.cli import command_flags, entry
from kerastune.cli.commands import COMMANDS
from kerastune.data import loading
from kerastune.models import saved_models
from kerastune.recipe import Recipe
from kerastune.study.run_directory import RunDir

BUDGET = "--budget=2500steps"


def run(*arguments):
    return entry.main([str(argument) for argument in arguments])


def start(*arguments, **options):
    command = [sys.executable, "-m", "kerastune", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("tuned") / "digits-out"
    assert run("tune", "--data=digits", "--model=mlp", BUDGET, f"--output_dir={output_dir}") == 0
    return output_dir


def test_tune_leaves_what_it_promises(tuned):
    names = {entry.name for entry in tuned.iterdir()}
    assert {
        *(
            "recipe.json",
            "best.flags",
            "decisions.jsonl",
            "result.json",
            "kerastune.log",
            "model.keras",
        ),
        *("study.sqlite", "tensorboard"),
    } <= names
    result = json.loads((tuned / "result.json").read_text())
    for name in ("baseline", "final"):
        assert 0.9 < result[name]["test"]["accuracy"] <= 1
        assert 0.9 < result[name]["validation"]["accuracy"] <= 1
    assert sum(cost["steps"] for cost in result["stages"].values()) <= 2500


def test_saved_model_takes_raw_inputs_and_gives_the_reported_figures(tuned):
    raw = loading.load("digits", for_own_model=True, seed=1)
    model = keras.models.load_model(tuned / "model.keras")
    predicted = model.predict(raw.test.x, verbose=0).argmax(axis=1)
    result = json.loads((tuned / "result.json").read_text())
    assert np.mean(predicted == raw.test.y) == pytest.approx(result["final"]["test"]["accuracy"])


def test_train_rebuilds_exactly_what_the_flagfile_says(tuned, tmp_path):
    assert (
        run("train", f"--flagfile={tuned / 'best.flags'}", f"--output_dir={tmp_path / 'again'}")
        == 0
    )
    first, second = (
        keras.models.load_model(folder / "model.keras") for folder in (tuned, tmp_path / "again")
    )
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert Recipe.from_json((tmp_path / "again" / "recipe.json").read_text()) == Recipe.from_json(
        (tuned / "recipe.json").read_text()
    )


def test_a_probe_ends_with_the_flag_to_copy_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run("probe", "--data=iris", "--model=mlp", "--batch_size=16") == 0
    *_, last = capsys.readouterr().out.splitlines()
    rate = float(last.removeprefix("--learning_rate="))
    assert 1e-5 < rate < 10 and not list(tmp_path.iterdir())
    named = ("probe", "--data=iris", "--model=mlp", "--batch_size=16", "--output_dir=kept-out")
    assert run(*named) == 0
    assert (tmp_path / "kept-out" / "study.sqlite").is_file()


def test_why_answers_a_question_that_stands_alone(tuned, tmp_path, capsys):
    assert run("why", f"--output_dir={tuned}", "learning_rate") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("learning_rate: ") and "(stage lr)" in told[1]
    assert run("why", "--output_dir", str(tuned), "--about=lr") == 0
    assert capsys.readouterr().out.startswith("lr: Learning rate ")
    assert run("why", f"--output_dir={tuned}", "dropuot") == 2
    assert "did you mean `dropout`?" in capsys.readouterr().err
    assert run("why", f"--output_dir={tmp_path}") == 2
    assert "holds no study" in capsys.readouterr().err


def test_a_search_prints_at_most_35_lines_of_80_columns_and_its_details_go_to_the_log(tuned):
    command = [sys.executable, "-m", "kerastune", "tune", "--data=digits", "--model=mlp", BUDGET]
    place = tuned.parent / "screen-out"
    ran = subprocess.run(
        [*command, f"--output_dir={place}"], capture_output=True, text=True, cwd=tuned.parent
    )
    lines = [*ran.stderr.splitlines(), *ran.stdout.splitlines()]
    assert ran.returncode == 0 and lines[0] == "Loading TensorFlow …"
    assert len(lines) <= 35 and max(map(len, lines)) <= 80
    assert len(lines) - len(set(filter(None, lines))) <= lines.count("")  # nothing twice
    assert len(ran.stdout.splitlines()) <= 15
    log = (place / "kerastune.log").read_text()
    assert "smoothed loss" in log and "smoothed loss" not in ran.stderr


def test_the_same_command_again_changes_nothing(tuned, capsys):
    before = (tuned / "decisions.jsonl").read_text()
    assert run("tune", "--data=digits", "--model=mlp", BUDGET, f"--output_dir={tuned}") == 0
    assert (tuned / "decisions.jsonl").read_text() == before
    shown = capsys.readouterr()
    assert (
        "Recipe: " in shown.out and "Continuing after" in shown.err and "baseline" not in shown.err
    )


def test_a_changed_flag_is_refused_by_name_and_overwrite_begins_anew(tuned, tmp_path, capsys):
    assert (
        run("tune", "--data=digits", "--model=mlp", "--budget=3000steps", f"--output_dir={tuned}")
        == 2
    )
    assert "`--budget` was" in capsys.readouterr().err
    output_dir = tmp_path / "out"
    probe = ("probe", "--data=wine", "--model=mlp", f"--output_dir={output_dir}")
    assert run(*probe) == 0
    (output_dir / "my-notes.txt").write_text("mine")
    assert run(*probe, "--seed=2") == 2
    assert run(*probe, "--seed=2", "--overwrite") == 0
    assert (output_dir / "my-notes.txt").read_text() == "mine"


def test_probe_suggests_a_rate_and_touches_no_test_part(tmp_path):
    assert run("probe", "--data=wine", "--model=mlp", f"--output_dir={tmp_path / 'out'}") == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["stages"]["probe"]["steps"] <= 60
    assert "tuned" not in result
    decision = json.loads((tmp_path / "out" / "decisions.jsonl").read_text().splitlines()[-1])
    assert 1e-4 < decision["values"]["learning_rate"] < 10


def test_own_data_and_own_model_with_hyperparameters(tmp_path, monkeypatch):
    (tmp_path / "own_network.py").write_text(
        "import keras\n"
        "def build(hp):\n"
        "    units = hp.Int('units', 4, 64, default=8)\n"
        "    return keras.Sequential([keras.Input([5]), keras.layers.Dense(units, 'relu'), "
        "keras.layers.Dense(1)])\n"
    )
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 5))
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=1000 + 50 * x[:, 0])
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            "tune",
            "--data=mine.npz",
            "--model=own_network:build",
            "--hp=units=16",
            "--budget=1500steps",
            "--nobaseline",
            "--output_dir=out",
        )
        == 0
    )
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["final"]["test"]["mae"] < 15  # in the user's units
    assert "--hp=units=16" in (tmp_path / "out" / "best.flags").read_text()
    model = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert model.count_params() == 6 * 16 + 17
    assert abs(model.predict(np.zeros([1, 5]), verbose=0)[0, 0] - 1000) < 60


@pytest.mark.slow
def test_integer_targets_may_be_numbers_to_predict(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(300, 5))
    np.savez(
        tmp_path / "stars.npz", x_train=x, y_train=np.clip(np.round(3 + x[:, 0]), 1, 5).astype(int)
    )
    monkeypatch.chdir(tmp_path)
    stages = ("--data=stars.npz", "--model=mlp", "--budget=1000steps", "--nobaseline")
    assert run("tune", *stages, "--kind=regression", "--output_dir=out") == 0
    assert "mae" in json.loads((tmp_path / "out" / "result.json").read_text())["final"]["test"]
    assert "--kind=regression" in (tmp_path / "out" / "best.flags").read_text()


def test_any_stage_alone_from_a_given_recipe(tmp_path):
    given = (
        "--data=wine",
        "--model=mlp",
        "--batch_size=16",
        "--momentum=0.8",
        "--budget=1000steps",
    )
    assert run("tune", *given, "--stages=lr", f"--output_dir={tmp_path / 'out'}") == 0
    (decision,) = map(json.loads, (tmp_path / "out" / "decisions.jsonl").read_text().splitlines())
    assert decision["stage"] == "lr" and decision["after"]["momentum"] == 0.8
    assert (
        "Plan for 1000steps: lr at most 400 steps"
        in (tmp_path / "out" / "kerastune.log").read_text()
    )


@pytest.mark.slow
def test_ensemble_trains_a_given_recipe_with_several_seeds(tmp_path, capsys):
    given = ("--data=wine", "--model=mlp", "--batch_size=16", "--total_steps=100", "--members=3")
    assert run("ensemble", *given, f"--output_dir={tmp_path / 'out'}") == 0
    decisions = [
        json.loads(line) for line in (tmp_path / "out" / "decisions.jsonl").read_text().splitlines()
    ]
    assert [decision["stage"] for decision in decisions] == ["train", "ensemble", "tta"]
    assert set(decisions[2]["values"]["alone"]) == {f"noise-{seed}" for seed in range(1, 5)}
    assert decisions[1]["evidence"] == ["train-100", "ensemble-seed-2", "ensemble-seed-3"]
    shown = capsys.readouterr().out
    assert "Model to use:" in shown and "calibration" in shown
    without = command_flags.parsed([*given, "--notta"])
    assert COMMANDS["ensemble"].stages(without) == ["train", "ensemble"]
    assert run("ensemble", *given, "--members=1", f"--output_dir={tmp_path / 'other'}") == 2
    assert (
        run("ensemble", *given, "--member_folds=2", "--notta", f"--output_dir={tmp_path / 'folds'}")
        == 0
    )
    decisions = [
        json.loads(line)
        for line in (tmp_path / "folds" / "decisions.jsonl").read_text().splitlines()
    ]
    assert decisions[1]["evidence"] == ["train-100", "ensemble-fold-1", "ensemble-fold-2"]


def test_noensemble_notta_and_nobaseline_leave_their_stages_out():
    stages = COMMANDS["tune"].stages
    assert stages(command_flags.parsed(["--nobaseline"]))[-2:] == ["ensemble", "tta"]
    named = ["start", "probe", "lr", "batch", "decay", "weights"]
    named += ["recipes", "regularize", "train"]
    without = ["--noensemble", "--notta", "--nobaseline"]
    assert stages(command_flags.parsed(without)) == named


def test_train_keeps_to_the_budget_and_the_regularizers_it_is_given(tmp_path):
    given = ("--data=wine", "--model=mlp", "--batch_size=16", "--total_steps=3000")
    assert (
        run(
            "train",
            *given,
            "--budget=1000steps",
            "--regularizers=off",
            f"--output_dir={tmp_path / 'out'}",
        )
        == 0
    )
    recipe = Recipe.from_json((tmp_path / "out" / "recipe.json").read_text())
    assert (recipe.total_steps, recipe.regularizers) == (1000, "off")


def test_an_error_in_the_users_own_code_shows_where_it_is_on_screen_and_in_the_log(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "faulty.py").write_text(
        "import keras\n"
        "class Faulty(keras.Sequential):\n"
        "    def train_step(self, data):\n"
        "        raise ValueError('my own mistake')\n"
        "def build(hp):\n"
        "    return Faulty([keras.Input([13]), keras.layers.Dense(3, 'softmax')])\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run("probe", "--data=wine", "--model=faulty:build", "--output_dir=out") == 2
    log = (tmp_path / "out" / "kerastune.log").read_text()
    for text in (capsys.readouterr().err, log):
        assert "faulty.py" in text and "my own mistake" in text and "Traceback" in text


def test_an_error_of_kerastunes_own_is_one_line(tmp_path, capsys):
    assert run("tune", "--data=nowhere.npz", f"--output_dir={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert "There is no file nowhere.npz" in error and "Traceback" not in error


def test_a_command_that_can_not_begin_leaves_no_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("tune", "--data=nowhere.npz") == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["tune", "--dta=digits"], "Unknown command line flag 'dta'. Did you mean: data"),
        (["tune", "digits"], "'digits' is not a flag"),
        (["tune", "--stages=lr,decay2"], "`--stages` must be among"),
        (["tune", "--stages=train,lr"], "`--stages` must be in the order"),
        (["tune", "--budget=fast"], "`--budget` must be a time"),
        (["tune", "--budget=10steps"], "at least 1000 steps"),
        (["tune", "--momentum=1.5"], "`--momentum` must be in [0, 1)"),
        (["tune", "--learning_rate=-1"], "`--learning_rate` must be a finite number > 0"),
        (["tune", "--hp=units"], "`--hp` must be name=json"),
        (["tune", "--hp=units=a b"], "must be JSON"),
        (["tune", "--model=mpl"], "did you mean `mlp`"),
        (["tune", "--data=digit"], "digit"),
        (["tune", "--data=missing.npz"], "missing.npz"),
        (["tune", "--objective=val_accuracy"], "needs its direction"),
        (["tune", "--model=mlp", "--hp=unitz=3"], "unitz"),
        (["tune", "--batch_size=100000"], "larger than the training part"),
        (["tune", "--flagfile=nowhere.flags"], "nowhere.flags"),
        (["tnue"], "unknown command 'tnue'"),
    ],
)
def test_bad_input_is_refused_in_one_clear_line(tmp_path, capsys, arguments, words):
    command, *rest = arguments
    assert (
        run(
            command,
            *rest,
            *(["--data=digits"] if not any("--data=" in each for each in rest) else []),
            *([f"--output_dir={tmp_path / 'out'}"] if command in COMMANDS else []),
        )
        == 2
    )
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "study.sqlite").exists() or "unitz" in words


def test_a_network_that_no_memory_holds_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    def starved(*arguments, **others):
        raise MemoryError

    monkeypatch.setattr("kerastune.training.trainer.Trainer.run", starved)
    arguments = ("--data=digits", "--model=mlp", BUDGET, f"--output_dir={tmp_path / 'out'}")
    assert run("tune", *arguments) == 2
    error = capsys.readouterr().err
    assert "kerastune tune: baseline ran out of memory" in error and "Traceback" not in error


def test_a_bug_is_raised_as_it_is(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(entry, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("tune")


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def log_of(output_dir):
    path = output_dir / "kerastune.log"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    "number, status",
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_ends_it_soon_with_its_status_and_says_how_to_go_on(tmp_path, number, status):
    given = ("--data=digits", "--model=mlp", "--budget=100000steps")
    arguments = ("tune", *given, f"--output_dir={tmp_path / 'out'}")
    process = start(*arguments)
    until(lambda: "lr-" in log_of(tmp_path / "out"))
    process.send_signal(number)
    began = time.monotonic()
    _, error = process.communicate(timeout=30)
    assert process.returncode == status
    assert time.monotonic() - began < 2.5
    assert f"  kerastune {shlex.join(arguments)}\n" in error


@pytest.mark.slow
def test_real_training_killed_twice_ends_with_the_same_decisions(tuned, tmp_path):
    output_dir = tmp_path / "out"
    command = ("tune", "--data=digits", "--model=mlp", BUDGET, f"--output_dir={output_dir}")
    for seen in ("lr-", "train-"):
        process = start(*command)
        until(lambda: seen in log_of(output_dir))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    process = start(*command)
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert (output_dir / "decisions.jsonl").read_text() == (tuned / "decisions.jsonl").read_text()


def test_a_second_process_on_the_same_directory_is_refused(tmp_path, capsys):
    given = ("--data=digits", "--model=mlp", "--budget=100000steps")
    process = start("tune", *given, f"--output_dir={tmp_path / 'out'}")
    until(lambda: "probe" in log_of(tmp_path / "out"))
    assert run("tune", *given, f"--output_dir={tmp_path / 'out'}") == 2
    assert f"in use by process {process.pid}" in capsys.readouterr().err
    process.kill()
    process.communicate()


# export


def test_export_gives_what_was_tuned_as_a_served_model_and_as_files(tuned, tmp_path, capsys):
    assert run("export", f"--output_dir={tuned}", f"--export_dir={tmp_path}") == 0
    assert f"Exported to {tmp_path / 'digits-out' / '1'}" in capsys.readouterr().out
    raw, result = (
        loading.load("digits", for_own_model=True, seed=1),
        json.loads((tuned / "result.json").read_text()),
    )
    signatures = tf.saved_model.load(str(tmp_path / "digits-out" / "1")).signatures
    answer = signatures["serving_default"](inputs=tf.constant(raw.test.x))
    exported = result[result["exported"]["model"]]
    assert np.mean(answer["classes"] == raw.test.y) == pytest.approx(exported["test"]["accuracy"])
    assert [label.decode() for label in answer["labels"].numpy()] == [
        str(c) for c in answer["classes"].numpy()
    ]
    assert (tmp_path / "README.md").exists() and (tmp_path / "models.config").exists()
    assert run("export", f"--output_dir={tuned}", f"--export_dir={tmp_path}", "--format=keras") == 0
    again = keras.models.load_model(tmp_path / "digits-out.keras")
    used = keras.models.load_model(saved_models.to_use(RunDir(tuned)))
    for one, other in zip(again.get_weights(), used.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_export_prefers_the_views_to_the_ensemble_to_the_model_and_goes_on_without_the_data(
    tmp_path, capsys, caplog
):
    output_dir = tmp_path / "mine-out"
    output_dir.mkdir()
    (output_dir / "result.json").write_text('{"classes": ["no", "yes"]}')
    (output_dir / "best.flags").write_text(
        "# Found\n--data=gone.npz\n--model=mlp\n--learning_rate=0.1\n"
    )
    for version, (name, value) in enumerate((("model", 0.0), ("ensemble", 1.0), ("tta", 2.0)), 1):
        bias = keras.initializers.Constant(value)
        layer = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", bias_initializer=bias)
        keras.Sequential([keras.Input((3,)), layer]).save(output_dir / f"{name}.keras")
        assert run("export", f"--output_dir={output_dir}") == 0
        served = output_dir / "export" / "mine-out" / str(version)
        answer = tf.saved_model.load(str(served)).signatures["serving_default"]
        expected = 1 / (1 + np.exp(-value))
        assert float(answer(inputs=tf.zeros([1, 3]))["probabilities"][0, 1]) == pytest.approx(
            expected
        )
    for flags, value in (
        ((), 2.0),
        (("--notta",), 1.0),
        (("--noensemble",), 0.0),
        (("--noensemble", "--notta"), 0.0),
    ):
        assert (
            run(
                "export",
                f"--output_dir={output_dir}",
                "--format=keras",
                f"--export_dir={tmp_path}",
                *flags,
            )
            == 0
        )
        said = keras.models.load_model(tmp_path / "mine-out.keras").predict(
            np.zeros([1, 3]), verbose=0
        )[0, 0]
        assert said == pytest.approx(1 / (1 + np.exp(-value)))
    assert "no file gone.npz" in caplog.text + capsys.readouterr().err


def test_export_refuses_in_one_line_what_it_cannot_do(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ((), "`--output_dir` is missing"),
        ((f"--output_dir={tmp_path / 'empty'}",), "holds no model.keras"),
        ((f"--output_dir={tmp_path}", "--format=torch"), "torch"),
    ):
        assert run("export", *arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line


def test_a_home_directory_and_names_with_spaces_are_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    np.savez("few.npz", x_train=np.eye(60), y_train=np.arange(60) % 2)
    arguments = ["--data=~/few.npz", "--model=mlp", "--total_steps=50", "--batch_size=8"]
    assert run("train", *arguments, "--output_dir=~/my öut") == 0
    assert (tmp_path / "my öut" / "model.keras").is_file() and not os.path.exists("~")
    shown = capsys.readouterr().out
    assert "kerastune predict --output_dir='my öut' --data=NEW.npz" in shown.replace("\n", " ")
    assert run("status", "--output_dir=~/my öut") == 0
