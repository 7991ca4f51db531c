"""Every script and every flagfile runs."""

import importlib.util
import json
import pathlib
import runpy
import subprocess
import sys

import pytest
from absl import flags
from places import ROOT

from kerastune.cli import command_flags

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
    assert {"tune.py", "probe.py", "train.py"} <= {
        path.name for path in (ROOT / "runs").glob("*.py")
    }


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.name)
def test_a_flagfile_opens_with_its_claim_and_every_flag_is_known(path):
    lines = path.read_text().splitlines()
    assert (
        lines[0].startswith("# What:")
        and lines[1].startswith("# Command:")
        and lines[2].startswith("# Expected:")
    )
    values = flags.FlagValues()
    command_flags.define(values)
    values(["kerastune", f"--flagfile={path}"])
    assert command_flags.recipe_of(values)
    assert values.output_dir


@pytest.mark.slow
@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.name)
def test_a_flagfile_runs(path, tmp_path, monkeypatch):
    if "fashion_mnist" in path.read_text() and not HAS_FASHION_MNIST:
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
    arguments = (f"--flagfile={path}", "--budget=1000steps", f"--output_dir={tmp_path / 'out'}")
    assert run("tune.py", *arguments, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "out" / "model.keras").exists()


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_runs_on_a_cpu_with_tiny_sizes():
    said = subprocess.run(
        [sys.executable, ROOT / "runs" / "benchmark_gpu.py", "--tiny"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tables = [table.splitlines() for table in said.strip().split("\n\n")]
    rows = [[row.split(" | ") for row in table[2:]] for table in tables]
    assert [len(each) for each in rows] == [2, 2, 2]
    steps_a_second = [float(cell) for row in rows[0] for cell in row[2:6]]
    assert min(steps_a_second) > 0 and "2" in rows[2][1][0]


def test_probe_and_train_run_as_scripts(tmp_path, monkeypatch):
    arguments = ("--data=iris", "--model=mlp", f"--output_dir={tmp_path / 'probe'}")
    assert run("probe.py", *arguments, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "probe" / "best.flags").exists()
    arguments = (
        f"--flagfile={tmp_path / 'probe' / 'best.flags'}",
        f"--output_dir={tmp_path / 'train'}",
    )
    assert run("train.py", *arguments, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "train" / "model.keras").exists()


def printed_by(script, *arguments):
    """What a script prints, run in a process of its own: absl's registry takes a flag only once."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "runs" / script), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@needs_fashion_mnist
def test_the_benchmark_of_the_trainer_prints_a_row_per_variant():
    arguments = ("--steps=100", "--rounds=1", "--models=mlp", "--searches=iris:mlp")
    lines = printed_by("benchmark_trainer.py", *arguments).splitlines()
    assert len([line for line in lines if line.startswith("| mlp |")]) == 3
    assert len([line for line in lines if line.startswith("| iris | mlp |")]) == 1
    differences = [line.rsplit(" ", 1)[1] for line in lines if "losses differ by at most" in line]
    assert len(differences) == 2 and all(float(difference) <= 1e-5 for difference in differences)
    (traces,) = [line for line in lines if "train step was traced" in line]
    assert traces.endswith("[1, 1, 1, 1]")


@pytest.mark.slow
@needs_fashion_mnist
def test_the_benchmark_of_transfer_prints_a_row_per_contestant():
    arguments = (
        "--seeds=1",
        "--budget=1000steps",
        "--examples=10",
        "--validation=20",
        "--epochs=1",
    )
    rows = [
        line
        for line in printed_by("benchmark_transfer.py", *arguments).splitlines()
        if "points (" in line
    ]
    assert [row.split(" | ")[0] for row in rows] == [
        "| from scratch",
        "| all at one rate",
        "| finetune",
    ]
    assert rows[-1].endswith("+0.0 points (+0.0 to +0.0) |")


@pytest.mark.slow
def test_the_benchmark_of_the_probe_prints_a_row_per_task_and_the_share():
    printed = printed_by(
        "benchmark_probe.py", "--tasks=wine", "--seeds=1", "--steps=50", "--optimizers=adam"
    )
    assert (
        len([line for line in printed.splitlines() if line.startswith("| wine | mlp | adam |")])
        == 1
    )
    assert "Within a factor of 3:" in printed


def test_the_benchmark_of_executors_prints_a_row_per_number_of_workers():
    arguments = ("--parts=simulated", "--workers=1,4", "--segments=8")
    rows = [
        line.split("|")
        for line in printed_by("benchmark_executors.py", *arguments).splitlines()[-2:]
    ]
    assert [(int(row[1]), int(row[2])) for row in rows] == [(1, 8), (4, 32)]
    assert all(0.7 < float(row[4]) <= 1 for row in rows)


@pytest.mark.slow
def test_the_benchmark_of_the_driver_prints_a_row_per_number_of_trials():
    lines = printed_by("benchmark_driver.py", "--trials=20,40", "--steps=100").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["20", "40"]
    assert "of one core busy" in lines[-1]


@pytest.mark.slow
def test_the_benchmark_of_faults_prints_a_row_per_fault_and_nothing_is_lost():
    few = (
        "--kills=2",
        "--every=80",
        "--cut_every=40000",
        "--flips=3",
        "--real_kills=0",
        "--signals=0",
        "--disks=0",
    )
    rows = [
        line.split(" | ")
        for line in printed_by("benchmark_faults.py", *few).splitlines()[2:]
        if " | " in line
    ]
    assert len(rows) >= 8 and all(
        tried == survived and lost == "0 |" for _, tried, survived, lost in rows
    )


def test_the_table_of_tables_normalizes_over_the_tasks_that_all_contestants_ran(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "runs")
    tables = module("benchmark_tables")
    scores = {
        ("a", "mlp"): (0.8, 0.9),
        ("a", "boosting"): (0.75, 0.75),
        ("b", "mlp"): (0.5,),
        ("b", "boosting"): (0.6,),
        ("c", "mlp"): (0.7,),
    }
    rows = [
        {"task": task, "seed": seed, "contestant": name, "score": score}
        for (task, name), found in scores.items()
        for seed, score in enumerate(found)
    ]
    lines = tables.table(rows, ["mlp", "boosting"])
    assert lines[2:] == [
        "| a | 85.00 ± 5.00 | 75.00 ± 0.00 |",
        "| b | 50.00 ± 0.00 | 60.00 ± 0.00 |",
        "| c | 70.00 ± 0.00 |  |",
        "| mean normalized score (2 tasks) | 0.50 | 0.50 |",
    ]


def test_the_benchmark_of_serving_prints_a_row_per_number_of_members_and_batch_size():
    lines = printed_by(
        "benchmark_serving.py", "--models=mlp", "--members=1,2", "--rounds=1"
    ).splitlines()
    rows = [line.split(" | ")[:3] for line in lines if line.startswith("| mlp |")]
    assert rows == [["| mlp", count, size] for count in "12" for size in ("1", "64")]
    assert float(lines[-1].rsplit(" ", 1)[1].rstrip(".")) <= 1e-5


@pytest.mark.slow
def test_stability_prints_a_row_per_stage_and_counts_the_seeds(tmp_path):
    arguments = ("--tasks=wine", "--seeds=1,2", "--budget=3000steps", f"--output_dir={tmp_path}")
    rows = [
        line.split(" | ")
        for line in printed_by("stability.py", *arguments).splitlines()
        if "| wine |" in line
    ]
    assert [row[1] for row in rows][:2] == ["lr", "batch"] and all(
        row[3].endswith("of 2") for row in rows
    )
    (kept,) = json.loads((tmp_path / "stability.json").read_text())
    assert len(kept["decisions"]) == 2 and kept["seeds"] == ["1", "2"]


def module(name):
    """A script as a module, without running it."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "runs" / f"{name}.py")
    found = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(found)
    return found


def test_generated_tasks_can_be_loaded_by_name():
    assert module("generated_tasks").__doc__


def test_the_generated_tasks_of_the_benchmark_are_balanced_and_always_the_same():
    for name in ("long_spirals", "sparse_parity"):
        (x, y), (again, _) = (getattr(module("generated_tasks"), name)() for _ in range(2))
        assert (x == again).all() and len(x) == len(y)
        assert 0.45 < y.mean() < 0.55


def rows_of(benchmark, *runs):
    """Rows as a run gives them: two incumbents, the last of which scores a tenth more with every
    seed.
    """
    return {
        run: {
            "run": vars(run),
            "score": 0.5 + run.seed / 10,
            "metric": "accuracy",
            "spent": 1.1 * run.seconds,
            "trials": 1,
            "curve": [[0.0, 0.2], [2.0, 0.5 + run.seed / 10]],
        }
        for run in runs
    }


def test_the_table_of_the_benchmark_holds_mean_and_spread_and_leaves_blank_what_was_not_run(
    tmp_path,
):
    benchmark = module("benchmark")
    runs = [benchmark.Run("wine", "kerastune", seed, 10.0) for seed in (1, 2)]
    runs += [benchmark.Run(task, "defaults", 1, 10.0) for task in ("wine", "digits")]
    groups = benchmark.grouped(runs, rows_of(benchmark, *runs))
    lines = benchmark.table(groups).splitlines()
    assert lines[2] == "| wine (accuracy, %) | 10 | 65.00 ± 7.07 | 60.00 |"
    assert lines[3] == "| digits (accuracy, %) | 10 |  | 60.00 |"
    assert benchmark.overrun(groups) == "kerastune 1.10, defaults 1.10"
    assert list(benchmark.mean_curve(groups["wine"]["kerastune"], [1.0, 2.0])) == pytest.approx(
        [0.2, 0.65]
    )
    benchmark.picture(groups, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_benchmark_goes_on_after_a_line_that_was_cut_off_and_skips_what_is_done(
    tmp_path, monkeypatch
):
    benchmark = module("benchmark")
    first, second, longer = (
        benchmark.Run("wine", "defaults", *each) for each in ((1, 2.0), (2, 2.0), (1, 4.0))
    )
    rows = rows_of(benchmark, first, second, longer)
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(rows[first]) + "\n" + json.dumps(rows[second])[:40])
    asked = []
    monkeypatch.setattr(
        benchmark,
        "run_in_child",
        lambda run: asked.append(run) or (rows[run] if run != longer else None),
    )
    assert benchmark.run_missing([first, second, longer], path) == [longer]
    assert asked == [second, longer]
    assert benchmark.read_rows(path) == {first: rows[first], second: rows[second]}


def test_what_comes_too_late_is_not_counted_in_the_benchmark():
    assert module("benchmark").in_time([(0.0, 0.2), (10.9, 0.5), (11.1, 0.9)], 10.0) == [
        (0.0, 0.2),
        (10.9, 0.5),
    ]


def test_the_benchmark_refuses_unknown_names_and_too_few_seconds_in_one_line(tmp_path):
    for argument, said in (("--seconds=30", "--share"), ("--tasks=nothing", "must be among")):
        command = [
            sys.executable,
            ROOT / "runs" / "benchmark.py",
            f"--output_dir={tmp_path}",
            argument,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode and said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_benchmark_prints_a_column_per_contestant_and_draws_the_curves(tmp_path):
    rivals = ["defaults", "RandomSearch", "Hyperband", "BayesianOptimization"]
    for names, seconds in ((["kerastune"], 10), (rivals, 2)):
        asked = (
            "--tasks=wine",
            "--seeds=1",
            f"--contestants={','.join(names)}",
            f"--seconds={seconds}",
            "--share=1",
        )
        printed = printed_by("benchmark.py", *asked, f"--output_dir={tmp_path}")
        assert f"| task | seconds | {' | '.join(names)} |" in printed
        assert (
            len(
                [line for line in printed.splitlines() if line.startswith("| wine (accuracy, %) |")]
            )
            == 1
        )
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["run"]["contestant"] for row in rows] == ["kerastune", *rivals]
    assert all(
        row["trials"] and row["curve"][0][0] == 0.0 and row["curve"][-1][1] == row["score"]
        for row in rows
    )
    assert all(0 < moment <= row["spent"] + 0.01 for row in rows for moment, _ in row["curve"][1:])
    assert (tmp_path / "anytime.png").exists()


@pytest.mark.slow
def test_the_benchmark_runs_optuna_where_it_is_installed(tmp_path):
    pytest.importorskip("optuna", reason="optuna is not here: pip install -e '.[benchmark]'")
    asked = (
        "--tasks=wine",
        "--seeds=1",
        "--contestants=optuna median,optuna hyperband",
        "--seconds=2",
    )
    printed = printed_by("benchmark.py", *asked, f"--output_dir={tmp_path}")
    assert "| task | seconds | optuna median | optuna hyperband |" in printed


@pytest.mark.slow
def test_programs_of_keras_users_run():
    command = [sys.executable, ROOT / "runs" / "keras_programs.py", "--budget=1000steps"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(rows) >= 16
    assert [row[:2] for row in rows if row[1] != "yes"] == []
