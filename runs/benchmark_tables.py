"""The built-in network for tables beside gradient boosting and RealMLP: python
runs/benchmark_tables.py --output_dir=tables-out.

Tables of the recorded tasks, each cut anew into training, validation and test part by every seed.
`mlp` is one training of the built-in network by the recipe that its searches begin with
(linear decay over 256 epochs, 600 to 4,000 steps, the best of 24 evaluations), `mlp without bins`
the same without `embeddings.piecewise`, `plain mlp` one of two Dense layers with ReLU, as wide
(Adam at 0.003, batches of 64), `kerastune` a search with its defaults; they train on the training
part and choose on the validation part. `boosting` is scikit-learn's `HistGradientBoosting*` and
`RealMLP` that of package pytabkit with its TD-S defaults (`--contestants=RealMLP`, extra
`benchmark`), both on both parts. All see the inputs as kerastune prepares them.

Rows are appended to `rows.jsonl`; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile

import numpy as np
import recorded_tasks
from absl import app, flags

FLAGS = flags.FLAGS
TABLES = (
    "australian",
    "german",
    "vehicle",
    "contraceptive",
    "splice",
    "spambase",
    "phoneme",
    "satimage",
    "marketing",
    "magic",
    "hdma",
    "diabetes",
    "slid",
    "computers",
    "males",
    "diamonds",
)
EPOCHS, FEWEST, MOST, EVALUATIONS = 256, 600, 4000, 24
PLAIN = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 64}


def score(problem, outputs: np.ndarray) -> float:
    """Accuracy of probabilities or classes, or R² of numbers, on the test part."""
    true = problem.test.y.reshape(-1)
    if problem.kind == "regression":
        return 1 - float(np.mean((outputs.reshape(-1) - true) ** 2) / true.var())
    classes = outputs.argmax(1) if outputs.ndim > 1 else outputs
    return float(np.mean(classes == true))


def both_parts(problem) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of training and validation part together."""
    parts = (problem.train, problem.validation)
    inputs = np.concatenate([part.x for part in parts])
    return inputs, np.concatenate([part.y.reshape(-1) for part in parts])


# Contestants: of a prepared problem and a seed, what they say of the test part.


def network(problem, seed: int, **columns) -> np.ndarray:
    import keras_tuner

    from kerastune.models.hypermodels import built_in

    hypermodel = built_in.Mlp(problem)
    hypermodel.columns = dataclasses.replace(hypermodel.columns, **columns)
    parameters = keras_tuner.HyperParameters()
    return trained(problem, seed, lambda: hypermodel.build(parameters), hypermodel.starting_recipe)


def without_bins(problem, seed: int) -> np.ndarray:
    return network(problem, seed, edges=())


def plain(problem, seed: int) -> np.ndarray:
    import contestants

    return trained(problem, seed, lambda: contestants.Plain(problem).build(None), PLAIN)


def trained(problem, seed: int, build, begun: dict) -> np.ndarray:
    """What one training of a network gives for the test part, by these values of a recipe."""
    from kerastune.objective import Objective
    from kerastune.playbook.stages import start
    from kerastune.recipe import Recipe
    from kerastune.training.trainer import CHUNK, Trainer
    from kerastune.trial import TrialSpec

    by_loss, count = problem.kind == "regression", len(problem.train)
    objective = Objective("loss", "min") if by_loss else Objective("accuracy", "max")
    trainer = Trainer(problem, lambda hyperparameters: build(), objective)
    size = start.within_epoch(begun["batch_size"], count)
    wanted = np.clip(EPOCHS * count / size, FEWEST, MOST)
    every = CHUNK * max(round(wanted / EVALUATIONS / CHUNK), 1)
    total = int(wanted) // every * every
    recipe = Recipe(**{**begun, "batch_size": size, "total_steps": total, "seed": seed})
    spec = TrialSpec("one", "train", recipe, 0, total, every, keep_best=True)
    _, _, best = trainer.run(spec)
    return trainer.outputs(recipe, best, problem.test.x)


def kerastune(problem, seed: int) -> np.ndarray:
    from kerastune import PlaybookTuner
    from kerastune.models import hypermodels

    with tempfile.TemporaryDirectory() as directory:
        settings = {"budget": FLAGS.budget, "directory": directory, "seed": seed}
        tuner = PlaybookTuner(hypermodels.load("mlp", problem), **settings)
        tuner.search(problem, verbose=0)
        models, x = tuner.trained_models(), problem.test.x
        if models.ensemble is not None:
            return models.ensemble_predictions(x) * problem.target_std
        return models.predictions(models.chosen, x) * problem.target_std


def boosting(problem, seed: int) -> np.ndarray:
    from sklearn import ensemble

    is_regression = problem.kind == "regression"
    kind = "HistGradientBoostingRegressor" if is_regression else "HistGradientBoostingClassifier"
    return (
        getattr(ensemble, kind)(random_state=seed).fit(*both_parts(problem)).predict(problem.test.x)
    )


def real_mlp(problem, seed: int) -> np.ndarray:
    import pytabkit

    is_regression = problem.kind == "regression"
    kind = "RealMLP_TD_S_Regressor" if is_regression else "RealMLP_TD_S_Classifier"
    model = getattr(pytabkit, kind)(random_state=seed, device="cpu")
    return np.asarray(model.fit(*both_parts(problem)).predict(problem.test.x))


CONTESTANTS = {
    "mlp": network,
    "mlp without bins": without_bins,
    "plain mlp": plain,
    "kerastune": kerastune,
    "boosting": boosting,
    "RealMLP": real_mlp,
}


# Rows and the table.


def normalized(scores: dict[str, float]) -> dict[str, float]:
    """Scores of one task as fractions of the way from the worst contestant to the best.

    Example:
        >>> normalized({"a": 0.5, "b": 0.75, "c": 1.0})
        {'a': 0.0, 'b': 0.5, 'c': 1.0}
    """
    worst, best = min(scores.values()), max(scores.values())
    return {name: (each - worst) / ((best - worst) or 1.0) for name, each in scores.items()}


def table(rows: list[dict], names: list[str]) -> list[str]:
    """Markdown: means and standard deviations over seeds, in percent, and mean normalized scores
    over the tasks that all contestants were run on.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    lines = [f"| task | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    sums = []
    for task in tasks:
        found = {
            name: [row["score"] for row in rows if (row["task"], row["contestant"]) == (task, name)]
            for name in names
        }
        cells = [
            f"{100 * np.mean(each):.2f} ± {100 * np.std(each):.2f}" if each else ""
            for each in found.values()
        ]
        lines.append(f"| {task} | {' | '.join(cells)} |")
        if all(found.values()):
            sums.append(normalized({name: float(np.mean(each)) for name, each in found.items()}))
    means = [f"{np.mean([each[name] for each in sums]):.2f}" if sums else "" for name in names]
    return [*lines, f"| mean normalized score ({len(sums)} tasks) | {' | '.join(means)} |"]


def main(argv):
    rows_file = pathlib.Path(FLAGS.output_dir) / "rows.jsonl"
    rows_file.parent.mkdir(parents=True, exist_ok=True)
    lines = rows_file.read_text().splitlines() if rows_file.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["task"], row["seed"], row["contestant"]) for row in rows}
    for seed in range(1, FLAGS.seeds + 1):
        for task in FLAGS.tasks:
            waiting = [name for name in FLAGS.contestants if (task, seed, name) not in done]
            if not waiting:
                continue
            given = recorded_tasks.TASKS[task]
            x, y = given.read(pathlib.Path(FLAGS.cache))
            problem = recorded_tasks.problem(task, x, y, seed, given, test_seed=seed)
            for name in waiting:
                found = score(problem, CONTESTANTS[name](problem, seed))
                rows.append({"task": task, "seed": seed, "contestant": name, "score": found})
                with rows_file.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
                print(json.dumps(rows[-1]), flush=True)
    names = [name for name in CONTESTANTS if any(row["contestant"] == name for row in rows)]
    print("\n".join(table(rows, names)))


if __name__ == "__main__":
    flags.DEFINE_list("tasks", list(TABLES), f"Among {', '.join(TABLES)}.")
    flags.DEFINE_list(
        "contestants",
        ["mlp", "plain mlp", "boosting"],
        f"Among {', '.join(CONTESTANTS)}.",
    )
    flags.DEFINE_integer("seeds", 3, "Cuts of the examples into three parts.", 1)
    flags.DEFINE_string("budget", "60s", "Of a search.")
    flags.DEFINE_string("cache", "benchmark-data", "Where archives of the tasks are kept.")
    flags.DEFINE_string("output_dir", "tables-out", "Where rows go.")
    app.run(main)
