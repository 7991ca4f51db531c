"""Every script and every flagfile runs."""

import importlib.util
import pathlib
import runpy
import subprocess
import sys

import pytest
from absl import flags

from kerastune import cli

ROOT = pathlib.Path(__file__).parent.parent
FLAGFILES = sorted((ROOT / "flags").glob("*.flags"))
HAS_FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist").is_dir()
needs_fashion_mnist = pytest.mark.skipif(
    not HAS_FASHION_MNIST, reason="Fashion-MNIST is not here: apt-get install dataset-fashion-mnist"
)


def run(script, *arguments, monkeypatch):
    """Runs a script as the user does, and gives its exit status."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "runs" / script), run_name="__main__")
    return ended.value.code or 0


def test_there_are_flagfiles_and_scripts():
    assert FLAGFILES
    assert {"tune.py", "probe.py", "train.py"} <= {path.name for path in (ROOT / "runs").glob("*.py")}


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.name)
def test_a_flagfile_opens_with_its_claim_and_every_flag_is_known(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# What:") and lines[1].startswith("# Command:") and lines[2].startswith("# Expected:")
    values = flags.FlagValues()
    cli.define(values)
    values(["kerastune", f"--flagfile={path}"])
    assert cli.recipe_of(values)
    assert values.output_dir


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.name)
def test_a_flagfile_runs(path, tmp_path, monkeypatch):
    if "fashion_mnist" in path.read_text() and not HAS_FASHION_MNIST:
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
    arguments = (f"--flagfile={path}", "--budget=1000steps", f"--output_dir={tmp_path / 'out'}")
    assert run("tune.py", *arguments, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "out" / "model.keras").exists()


def test_probe_and_train_run_as_scripts(tmp_path, monkeypatch):
    arguments = ("--data=iris", "--model=mlp", f"--output_dir={tmp_path / 'probe'}")
    assert run("probe.py", *arguments, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "probe" / "best.flags").exists()
    arguments = (f"--flagfile={tmp_path / 'probe' / 'best.flags'}", f"--output_dir={tmp_path / 'train'}")
    assert run("train.py", *arguments, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "train" / "model.keras").exists()


def printed_by(script, *arguments):
    """What a script prints, run in a process of its own: absl's registry takes a flag only once."""
    done = subprocess.run([sys.executable, str(ROOT / "runs" / script), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_fashion_mnist
def test_the_benchmark_of_the_trainer_prints_a_row_per_variant():
    arguments = ("--steps=100", "--rounds=1", "--models=mlp", "--searches=iris:mlp")
    lines = printed_by("benchmark_trainer.py", *arguments).splitlines()
    assert len([line for line in lines if line.startswith("| mlp |")]) == 3
    assert len([line for line in lines if line.startswith("| iris | mlp |")]) == 1
    differences = [line.rsplit(" ", 1)[1] for line in lines if "losses differ by at most" in line]
    assert len(differences) == 2 and all(float(difference) <= 1e-5 for difference in differences)
    (traces,) = [line for line in lines if "train step was traced" in line]
    assert traces.endswith("[2, 2, 2, 2]")


def test_the_benchmark_of_the_probe_prints_a_row_per_task_and_the_share():
    printed = printed_by("benchmark_probe.py", "--tasks=wine", "--seeds=1", "--steps=50", "--optimizers=adam")
    assert len([line for line in printed.splitlines() if line.startswith("| wine | mlp | adam |")]) == 1
    assert "Within a factor of 3:" in printed


def test_generated_tasks_can_be_loaded_by_name():
    path = ROOT / "runs" / "generated_tasks.py"
    specification = importlib.util.spec_from_file_location("generated_tasks", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.__doc__
