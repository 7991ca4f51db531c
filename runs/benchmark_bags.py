"""Measures bags on recorded tasks: python runs/benchmark_bags.py --cache=FOLDER.

The recipe that a search of the network begins with (Adam at .003 in batches of 32, where it has
none), with linear decay, trains one model on the training part, and ten that each leave out a
fold of training and validation part together, as stage `ensemble` does. Both keep what is best on
what they leave out; the test part judges. What is recorded already is not trained again.
`runs/replay.py --write_priors` fits the prior of that gain.
"""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import recorded_tasks
from absl import app, flags

FLAGS = flags.FLAGS
PATH = pathlib.Path(__file__).parent / "benchmark_results" / "bags.json"
TASKS = (
    *("australian", "german", "vehicle", "contraceptive", "diabetes", "gunpoint", "acsf1"),
    *("arrowhead", "osuleaf", "vowels", "power", "digits", "documentation"),
)
LARGER = ("phoneme", "satimage", "spambase", "computers", "slid", "marketing", "splice", "magic")
EPOCHS, FEWEST, MOST, EVALUATIONS = 60, 600, 3000, 12


def read(path: pathlib.Path = PATH) -> dict:
    """Tasks by name, with group and examples of the parts, and runs; both empty without a file."""
    return json.loads(path.read_text()) if path.exists() else {"tasks": {}, "runs": []}


def figures(outputs: np.ndarray, problem) -> tuple[float, float]:
    """Test score, accuracy or R², and loss of outputs `[n, classes or 1]`."""
    y = problem.test.y.reshape(-1)
    if problem.kind == "regression":
        squares = np.mean(np.square(outputs[:, 0] - y), dtype=np.float64)
        return float(1 - squares / y.var()), float(squares)
    chosen = np.maximum(outputs[np.arange(len(y)), y.astype(int)], 1e-7)
    return float(np.mean(outputs.argmax(1) == y)), float(-np.log(chosen).mean())


def measured(name: str, seed: int) -> dict:
    """Score and loss on the test part of a single model and of a bag."""
    import keras_tuner

    from kerastune.models import hypermodels
    from kerastune.objective import Objective
    from kerastune.playbook.rules import bag
    from kerastune.playbook.stages import start
    from kerastune.recipe import Recipe
    from kerastune.training.trainer import CHUNK, Trainer
    from kerastune.trial import TrialSpec

    task = recorded_tasks.TASKS[name]
    problem = recorded_tasks.problem(name, *task.read(pathlib.Path(FLAGS.cache)), seed, task)
    hypermodel = hypermodels.load(task.network, problem)
    is_regression = problem.kind == "regression"
    objective = Objective("loss", "min") if is_regression else Objective("accuracy", "max")
    trainer = Trainer(
        problem, lambda values: hypermodel.build(keras_tuner.HyperParameters()), objective
    )
    begun = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 32}
    begun |= getattr(hypermodel, "starting_recipe", {})
    begun["batch_size"] = start.within_epoch(begun["batch_size"], len(problem.train))
    total = np.clip(EPOCHS * len(problem.train) / begun["batch_size"], FEWEST, MOST)
    every = max(int(total) // EVALUATIONS // CHUNK * CHUNK, CHUNK)
    steps = int(total) // every * every
    recipe = Recipe(regularizers="on", total_steps=steps, **begun)

    def predicted(trained: Recipe, **cut) -> np.ndarray:
        spec = TrialSpec("one", "bag", trained, 0, trained.total_steps, every, True, **cut)
        best = trainer.run(spec)[2]
        found = trainer.outputs(trained, best, problem.test.x)
        return found.reshape(len(found), -1)

    members = [each for repeat in bag.repeats(recipe, 10, {}) for each in repeat.values()]
    single = figures(predicted(recipe), problem)
    together = figures(np.mean([predicted(each, **cut) for each, cut in members], 0), problem)
    examples = [len(part) for part in (problem.train, problem.validation, problem.test)]
    entry = {"group": task.group, "examples": examples}
    return {"entry": entry, "run": {"task": name, "seed": seed, "single": single, "bag": together}}


def main(argv):
    found = read()
    known = {(run["task"], run["seed"]) for run in found["runs"]}
    recorded_tasks.fetch(pathlib.Path(FLAGS.cache))
    for name in FLAGS.tasks:
        for seed in range(1, FLAGS.seeds + 1):
            if (name, seed) in known:
                continue
            new = measured(name, seed)
            found["tasks"][name] = new["entry"]
            found["runs"].append(new["run"])
            PATH.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
            print(json.dumps(new["run"]), flush=True)


if __name__ == "__main__":
    flags.DEFINE_string("cache", "benchmark-data", "Where archives of the tasks are kept.")
    flags.DEFINE_list("tasks", [*TASKS, *LARGER], "Names of recorded tasks.")
    flags.DEFINE_integer("seeds", 3, "Seeds of each task.", 1)
    sys.exit(app.run(main))
