"""`kerastune prune`: from a trained output directory to a smaller model."""

import json
import zipfile

import keras
import numpy as np
import pytest
from test_trainer import PLAIN, build, problem

from kerastune.cli import entry
from kerastune.models import pruning
from kerastune.objective import Objective
from kerastune.study.database import Record
from kerastune.training.trainer import Trainer
from kerastune.trial import State, TrialSpec


def run(*arguments):
    return entry.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    where = tmp_path_factory.mktemp("trained") / "out"
    given = (
        "--data=wine",
        "--model=mlp",
        "--batch_size=16",
        "--total_steps=200",
        "--learning_rate=0.03",
    )
    assert run("train", *given, f"--output_dir={where}") == 0
    return where


@pytest.fixture(scope="module")
def pruned(trained, tmp_path_factory):
    where = tmp_path_factory.mktemp("pruned") / "out"
    assert run("prune", f"--trained={trained}", "--sparsity=0.9,0.5", f"--output_dir={where}") == 0
    return where


def test_the_model_that_comes_back_is_as_sparse_as_was_decided(pruned):
    told = json.loads((pruned / "prune.json").read_text())
    assert [point["trial"] for point in told["curve"]] == ["train-200", "prune-50", "prune-90"]
    assert told["kept"] and told["headline"].startswith("Pruned to ")
    model = keras.models.load_model(pruned / "model.keras")
    assert pruning.measured(model) == pytest.approx(told["sparsity"], abs=0.001)
    with zipfile.ZipFile(pruned / "model.keras") as archive:
        assert b"kerastune" not in archive.read("config.json")
    kept = next(point for point in told["curve"] if point["trial"] == told["trial"])
    assert kept["gzip_bytes"] < 0.75 * told["curve"][0]["gzip_bytes"]


def test_it_is_told_everywhere(pruned):
    result = json.loads((pruned / "result.json").read_text())
    assert {"validation", "test"} <= set(result["unpruned"]) and "mean" in result["gain_of_pruning"]
    with Record(pruned / "study.sqlite") as record:
        prune = record.decisions()[-1]
        steps = {name: outcome.steps for name, outcome in record.outcomes().items()}
        losses = {name: outcome.losses[0] for name, outcome in record.outcomes().items()}
    # What is pruned sets out from what was trained.
    assert max(losses["prune-50"], losses["prune-90"]) < losses["train-200"] / 3
    assert prune["stage"] == "prune" and steps == {
        "train-200": 200,
        "prune-50": 100,
        "prune-90": 100,
    }
    assert "How many weights can be zero?" in (pruned / "report.md").read_text()
    assert (pruned / "report" / "stage-prune.png").read_bytes()[:4] == b"\x89PNG"
    board = b"".join(path.read_bytes() for path in (pruned / "tensorboard" / "decisions").iterdir())
    assert b"why/16-prune" in board


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_more(pruned, trained, capsys):
    given = ("--sparsity=0.9,0.5", f"--output_dir={pruned}")
    assert run("prune", f"--trained={trained}", *given) == 0
    assert "prune-50: sgd" not in capsys.readouterr().out
    assert run("prune", f"--trained={trained}", "--sparsity=0.9,0.6", f"--output_dir={pruned}") == 2
    assert "`--sparsity` was [0.5, 0.9]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--learning_rate=0.5"], "`--learning_rate` is 0.5, but"),
        (["--seed=3"], "`--seed` is 3, but"),
        (["--data=breast_cancer"], "was trained on other data (wine"),
        (["--sparsity=0.5,1"], "`--sparsity` must be a fraction in [0, 1)"),
        (["--sparsity=half"], "`--sparsity` must be fractions in [0, 1)"),
        (["--sparsity="], "`--sparsity` must be one share"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(
    arguments, words, trained, tmp_path, capsys
):
    assert run("prune", f"--trained={trained}", *arguments, f"--output_dir={tmp_path / 'out'}") == 2
    assert words in capsys.readouterr().err


def test_a_directory_without_a_training_is_refused(tmp_path, capsys):
    (tmp_path / "best.flags").touch()
    assert run("prune", f"--trained={tmp_path}", f"--output_dir={tmp_path / 'out'}") == 2
    assert "name a search's output directory" in capsys.readouterr().err


def test_a_fine_tuning_in_pieces_is_the_same_as_in_one():
    """Whatever is killed goes on from a checkpoint, which has no masks: they are found again in the
    zeros.
    """
    trainer = Trainer(problem(), build, Objective("accuracy", "max"))
    begun = State(0, trainer.initial_state(PLAIN.replace(seed=4)), [], 1.1)
    whole = TrialSpec(
        "prune-60", "prune", PLAIN, 0, 200, 50, keep_best=True, after="train-200", sparsity=0.6
    )
    outcome, last, best = trainer.run(whole, begun)
    state = begun
    for start in (0, 50, 150):
        until = {0: 50, 50: 150, 150: 200}[start]
        piece = TrialSpec(
            "prune-60", "prune", PLAIN, start, until, 50, keep_best=True, sparsity=0.6
        )
        _, state, pieced = trainer.run(piece, state)
    for one, other in zip(last.model + best.model, state.model + pieced.model, strict=True):
        np.testing.assert_array_equal(one, other)
    kernels = [value for value in best.model if value.ndim == 2]
    assert np.mean(np.concatenate([kernel.ravel() == 0 for kernel in kernels])) == pytest.approx(
        0.6, abs=0.02
    )
    # A trial that is not pruned has no masks of one that is.
    _, plain, _ = trainer.run(TrialSpec("train-200", "train", PLAIN, 0, 100, 50), None)
    assert all(np.count_nonzero(value) == value.size for value in plain.model if value.ndim == 2)


@pytest.mark.slow
def test_a_search_that_returned_the_baseline_can_be_pruned(tmp_path):
    stages = ["--stages=baseline,train", "--learning_rate=1e-7", "--total_steps=100"]
    found, pruned = tmp_path / "found", tmp_path / "pruned"
    given = ["--data=wine", "--batch_size=32", "--budget=2500steps", f"--output_dir={found}"]
    assert run("tune", *stages, *given) == 0
    assert json.loads((found / "result.json").read_text())["trial"] == "baseline"
    assert run("prune", f"--trained={found}", "--sparsity=0.5", f"--output_dir={pruned}") == 0
    assert (pruned / "model.keras").is_file()
