"""Measures kerastune beside what its users have today: python runs/benchmark.py
--output_dir=benchmark-out.

What is the same for all contestants of a task and seed: the machine, the seconds, the prepared data
and their cut, and that the final model was chosen on validation data (by accuracy, or
by loss in a regression). The seed sets the cut, the weights and the search,
so that the spread is over all three. Test data are looked at when the seconds are over.

- Of tables, kerastune has its built-in `mlp`, which is part of what it is compared for; the others
  have what their users write: two Dense layers with ReLU, as wide. `on kerastune's network` behind
  a contestant's name gives it that one, too. Of other data the network is the same for all.
- Every run is a process of its own. Seconds begin when everything is imported and the data are
  prepared. What is in training when they end is stopped at its next batch and still evaluated;
  kerastune has to end by itself, its figures,
  TensorBoard runs and saved model included. What comes a tenth of the seconds too late is not
  counted, for anybody.
- Rivals search the rate (1e-5 to 1, log-uniform), the optimizer (SGD with momentum 0.9, Adam) and
  the batch size (32, 64, 128). Their trials have at most 30 epochs with an early stopping of
  patience 3; 100 and 10 on the generated tasks,
  whose loss stands still before it falls. They keep the weights of the best epoch of all trials,
  the one that was cut off by the end included; among equals that of the lowest loss, where
  KerasTuner itself would keep the first.
- kerastune has the recipe that it begins with (Adam, the values that its networks name, batch size
  from the data, He initializers) and tunes from there. `defaults` is Adam at 1e-3 with batches of
  32 for the whole time, best epoch; `simple_rule` is a range test of seven learning rates, then SGD
  with linear decay.
- The learning rate's range is what a user writes who does not know it. A narrower one favors the
rivals.
- `kerastune/10` is kerastune with a tenth of the seconds. It hands over what `kerastune tune` does:
  one model, or several together where they are better on validation data. A row's `one_model` is
  the figure of the one.

Rows are appended to `results.jsonl` as soon as they are there; the same command goes on where it
was interrupted. Run nothing else meanwhile: all contestants lose, but not by the same.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

from kerastune.budget import LEAST_SECONDS

FLAGS = flags.FLAGS
GRACE = (
    1.1  # of the seconds, after which nothing counts: the last evaluation or saving has to fit in
)
RIVALS = (
    "defaults",
    "simple_rule",
    "RandomSearch",
    "Hyperband",
    "BayesianOptimization",
    "optuna median",
    "optuna hyperband",
)
SAME_NETWORK = " on kerastune's network"
CACHE = "benchmark-data"  # where archives of the recorded tasks are kept
RECORDED = (
    "vehicle",
    "german",
    "spambase",
    "phoneme",
    "satimage",
    "marketing",
    "magic",
    "computers",
    "slid",
    "osuleaf",
    "vowels",
    "power",
    "topics",
    "documentation",
    "shapes",
)
PROBLEMS = {  # source, network, and the epochs that a user of a rival would allow a trial
    "digits": ("digits", "cnn", 30),
    "fashion_mnist": ("fashion_mnist", "cnn", 30),
    "wine": ("wine", "mlp", 30),
    "breast_cancer": ("breast_cancer", "mlp", 30),
    "diabetes": ("diabetes", "mlp", 30),
    "spirals": ("generated_tasks:long_spirals", "mlp", 100),
    "parity": ("generated_tasks:sparse_parity", "mlp", 100),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One contestant on one task with one seed."""

    task: str
    contestant: str
    seed: int
    seconds: float


def wanted():
    """The runs that the flags ask for. Contestants are the inner loop, so that all meet the machine
    in like moods.
    """
    runs = []
    for seed in map(int, FLAGS.seeds):
        for task in FLAGS.tasks:
            is_fashion = task == "fashion_mnist"
            seconds = FLAGS.fashion_seconds if is_fashion else FLAGS.seconds
            share = FLAGS.fashion_share if is_fashion else FLAGS.share
            for name in FLAGS.contestants:
                runs.append(Run(task, name, seed, seconds))
                if name == "kerastune" and share > 1:
                    runs.append(Run(task, f"{name}/{share}", seed, seconds / share))
    return runs


def check(runs):
    """Refuses in one line what would fail late."""
    for run in runs:
        if run.contestant.startswith("kerastune") and run.seconds < LEAST_SECONDS:
            found = (
                f"{run.contestant} on {run.task} has {run.seconds:g} s, but kerastune needs "
                f"{LEAST_SECONDS} s"
            )
            sys.exit(
                f"benchmark: {found}: raise --seconds, or lower --share (1 leaves the share out)."
            )
    if (
        any(run.contestant.startswith("optuna") for run in runs)
        and importlib.util.find_spec("optuna") is None
    ):
        sys.exit(
            "benchmark: optuna is missing: pip install -e '.[benchmark]', or name --contestants "
            "without it."
        )


# Rows on disk.


def read_rows(path):
    """Rows by their run; a line that was cut off by an interruption is passed over."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[Run(**row["run"])] = row
    return rows


def append_row(path, row):
    """Writes one row on a line of its own, also after a line that was cut off."""
    cut_off = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("\n" * cut_off + json.dumps(row) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


# Running.


def race(run):
    """Runs one contestant in this process; gives its row."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(
        0, str(pathlib.Path(__file__).parent)
    )  # for `contestants` and `generated_tasks`
    import contestants

    from kerastune.data import loading
    from kerastune.models import hypermodels
    from kerastune.runtime import devices

    devices.set_up()
    if run.task in PROBLEMS:
        source, model, epochs = PROBLEMS[run.task]
        task = loading.load(source, seed=run.seed)
    else:
        task, model, epochs = recorded(run)
    name = run.contestant.partition("/")[0].removesuffix(SAME_NETWORK)
    hypermodel = hypermodels.load(model, task)
    if model == "mlp" and run.contestant in RIVALS:
        hypermodel = contestants.Plain(task)
    arena = contestants.Race(task, hypermodel, epochs, run.seconds, run.seed)
    contestants.start(name, arena)
    spent = arena.spent()
    curve = in_time(arena.test_scores(), run.seconds)
    return {
        "run": dataclasses.asdict(run),
        "score": curve[-1][1],
        "metric": "R2" if task.kind == "regression" else "accuracy",
        "spent": round(spent, 2),
        "trials": arena.trials,
        **({"one_model": arena.of_one_model} if arena.of_one_model is not None else {}),
        "curve": [(round(moment, 3), score) for moment, score in curve],
    }


def recorded(run):
    """One of the recorded tasks, its network, and the epochs of a rival's trial."""
    import recorded_tasks

    found, name = recorded_tasks.TASKS[run.task], run.task
    cache = pathlib.Path(CACHE)
    recorded_tasks.fetch(cache)
    problem = recorded_tasks.problem(name, *found.read(cache), run.seed, found)
    return problem, found.network, 30


def in_time(curve, seconds):
    """What of `(moment, score)` counts."""
    return [(moment, score) for moment, score in curve if moment <= GRACE * seconds]


def run_in_child(run):
    """Runs one contestant in a process of its own; gives its row, or `None` if it failed."""
    command = [sys.executable, __file__, f"--one={json.dumps(dataclasses.asdict(run))}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def run_missing(runs, path):
    """Runs what has no row yet; gives the runs that failed."""
    known, failed = read_rows(path), []
    for run in runs:
        if run in known:
            continue
        row = run_in_child(run)
        if row is None:
            failed.append(run)
            continue
        append_row(path, row)
        print(
            f"{run.task}, seed {run.seed}, {run.contestant}: {row['metric']} {row['score']:.4f} "
            f"after {row['spent']:.1f} s and {row['trials']} trials",
            flush=True,
        )
    return failed


# Reporting.


def grouped(runs, rows):
    """`{task: {contestant: rows of all seeds}}`, in the order of the runs; what has no row is left
    out.
    """
    groups = {}
    for run in runs:
        if run in rows:
            groups.setdefault(run.task, {}).setdefault(run.contestant, []).append(rows[run])
    return groups


def table(groups):
    """Mean and standard deviation over the seeds of the test score, in percent, as Markdown."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    lines = [f"| task | seconds | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for task, group in groups.items():
        rows = next(iter(group.values()))
        longest = max(row["run"]["seconds"] for rows in group.values() for row in rows)
        cells = [
            _cell([row["score"] for row in group[name]]) if name in group else "" for name in names
        ]
        lines.append(f"| {task} ({rows[0]['metric']}, %) | {longest:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(scores):
    spread = f" ± {100 * statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{100 * statistics.mean(scores):.2f}{spread}"


def overrun(groups):
    """The most that a contestant took, in shares of its seconds, by its name."""
    most = {}
    for group in groups.values():
        for name, rows in group.items():
            most[name] = max(
                [most.get(name, 0), *(row["spent"] / row["run"]["seconds"] for row in rows)]
            )
    return ", ".join(f"{name} {share:.2f}" for name, share in most.items())


def mean_curve(rows, moments):
    """Test score of the incumbent at every moment, averaged over the seeds."""
    import numpy as np

    found = []
    for row in rows:
        times, scores = map(np.array, zip(*row["curve"]))
        found.append(scores[np.searchsorted(times, moments, side="right") - 1])
    return np.mean(found, axis=0)


def picture(groups, path):
    """Draws the test score of what a contestant would hand over, against the seconds; one panel per
    task.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    columns = min(len(groups), 3)
    count = -(-len(groups) // columns)
    figure = Figure(figsize=(5 * columns, 3.6 * count + 0.8), dpi=120, layout="constrained")
    panels = figure.subplots(count, columns, squeeze=False).flat
    for axes, (task, group) in zip(panels, groups.items()):
        for name, rows in group.items():
            end = max(max(row["spent"], row["curve"][-1][0]) for row in rows)
            moments = np.geomspace(0.5, max(end, 0.6), 300)
            _line(axes, moments, 100 * mean_curve(rows, moments), name, names)
        ends = [100 * statistics.mean(row["score"] for row in rows) for rows in group.values()]
        # Bad beginnings would press together what is to be compared.
        room = max(max(ends) - min(ends), 2)
        axes.set(
            xscale="log",
            xlabel="seconds",
            title=task,
            ylim=(min(ends) - 0.6 * room, max(ends) + 0.2 * room),
        )
        axes.set_ylabel(f"test {next(iter(group.values()))[0]['metric']}, %")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.grid(alpha=0.3)
    for axes in panels:
        axes.set_axis_off()
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    figure.legend(
        [lines[name] for name in names],
        names,
        loc="outside lower center",
        ncols=2 * min(columns, 2),
    )
    figure.savefig(path)


def _line(axes, moments, values, name, names):
    family, _, share = name.partition("/")
    color = f"C{list(dict.fromkeys(each.partition('/')[0] for each in names)).index(family)}"
    width = 2.4 if family == "kerastune" else 1.3
    style = "--" if share else "-"
    axes.step(
        moments, values, style, where="post", color=color, linewidth=width, label=name, zorder=width
    )
    axes.plot(moments[-1:], values[-1:], "o", color=color, markersize=5, label="_end", zorder=width)


def main(argv):
    if FLAGS.one:
        print(json.dumps(race(Run(**json.loads(FLAGS.one)))))
        return 0
    runs = wanted()
    check(runs)
    directory = pathlib.Path(FLAGS.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    results = directory / "results.jsonl"
    failed = run_missing(runs, results)
    if groups := grouped(runs, read_rows(results)):
        picture(groups, directory / "anytime.png")
        report = f"{table(groups)}\n\nMost time taken, in shares of the seconds: {overrun(groups)}."
        (directory / "table.md").write_text(report + "\n")
        print(
            f"\n{report}\n\n{len(FLAGS.seeds)} seeds, mean ± standard deviation. Curves: "
            f"{directory / 'anytime.png'}"
        )
    for run in failed:
        print(f"benchmark: failed: {run}", file=sys.stderr)
    return 1 if failed else 0


def known(names):
    """A check of a list flag."""
    return lambda values: all(value in names for value in values)


def define():
    """Defines the flags."""
    contestants = ["kerastune", *RIVALS]
    known_names = [*contestants, f"defaults{SAME_NETWORK}", f"simple_rule{SAME_NETWORK}"]
    tasks = [*PROBLEMS, *RECORDED]
    flags.DEFINE_list("tasks", tasks, f"Among {', '.join(tasks)}.")
    flags.DEFINE_list("contestants", contestants, f"Among {', '.join(known_names)}.")
    flags.DEFINE_list("seeds", ["1", "2", "3", "4", "5"], "Of cut, weights and search.")
    flags.DEFINE_float("seconds", 60.0, "Of one search.", 0.1)
    flags.DEFINE_float("fashion_seconds", 240.0, "Of one search on Fashion-MNIST.", 0.1)
    flags.DEFINE_integer(
        "share", 10, "kerastune runs again with this part of the seconds; 1: it does not.", 1
    )
    flags.DEFINE_integer("fashion_share", 4, "The same on Fashion-MNIST.", 1)
    flags.DEFINE_string("output_dir", "benchmark-out", "Where rows, table and picture go.")
    flags.DEFINE_string("one", "", "A run as JSON, in a child process: its row is printed.")
    flags.register_validator("tasks", known(tasks), f"must be among {', '.join(tasks)}")
    flags.register_validator(
        "contestants", known(known_names), f"must be among {', '.join(known_names)}"
    )
    flags.register_validator(
        "seeds", lambda seeds: all(seed.isdigit() for seed in seeds), "must be integers >= 0"
    )


if __name__ == "__main__":
    define()
    sys.exit(app.run(main))
