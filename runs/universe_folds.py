"""Records the present networks in folds, and the bags of them:

    python runs/universe_folds.py --cache=FOLDER

The recipe that a search of a task's network begins with, and changes of it, are trained on the
tasks of `runs/universe.py`, with the same test parts. Training and validation part together are
cut into five folds. Of small data every recipe is trained five times, leaving out another fold each
time; that gives its bag, too. Of larger data two folds are enough to tell recipes apart, and two
recipes have bags. What is recorded already is not trained again.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import recorded_recipes
import recorded_runs
import recorded_tasks
import universe
from absl import app, flags
from recorded_recipes import BASE, OWN

from kerastune.playbook.rules.bag import FEW, FOLDS
from kerastune.recipe import Recipe

FLAGS = flags.FLAGS
OF_LARGE = 2  # folds that are left out of more
BAGGED = (BASE, "length x1/4")  # recipes whose bags are recorded of more, too
TIMED = 400  # steps of the former network


class Folds(universe.Bench):
    """Trains on one task, leaving out one fold at a time."""

    def use(self, seed: int) -> None:
        """Leaves out the fold of this number, from 1."""
        from kerastune.data import folds

        if self.seed is None:
            super().use(0)
            self.whole = self.evaluations.problem
        if self.seed != seed:
            self.seed = seed
            self.evaluations.problem = folds.problem_of(self.whole, FOLDS, seed, 1)
            self.trainer = self.trainer.on(self.evaluations.problem)

    def count(self, name: str) -> int:
        """Folds that are left out with a recipe."""
        return FOLDS if name in BAGGED or len(self.whole.train) <= FEW else OF_LARGE

    def former(self) -> dict:
        """Hyperparameters of the network of `runs/universe.py`: two layers with ReLU."""
        from kerastune.models import hypermodels

        if self.task.network != "mlp":
            return {}
        has_numbers = hypermodels.load("mlp", self.whole).columns.numbers
        return {"layers": 2, **({"embed_numbers": False} if has_numbers else {})}

    def starting(self, rates: dict[str, float]) -> dict:
        """The values of a recipe that a search of the network begins with.

        Args:
            rates: that the probe found, by optimizer, for a network that names none.
        """
        from kerastune.models import hypermodels
        from kerastune.playbook.stages import start

        named = getattr(hypermodels.load(self.task.network, self.whole), "starting_recipe", {})
        usual = {"optimizer": "adam", "learning_rate": rates["adam"], "regularizers": "on"}
        found = {"batch_size": recorded_recipes.BATCH, **usual, **named}
        found["batch_size"] = start.within_epoch(found["batch_size"], len(self.whole.train))
        return found


def new_entry(bench: Folds, rates: dict[str, float]) -> dict:
    """What is told of a task, with the seconds of a step of the former network, to compare costs
    by.
    """
    bench.use(1)
    parts = bench.whole.train, bench.whole.validation, bench.whole.test
    recipe = Recipe(learning_rate=0.01, total_steps=TIMED, hyperparameters=bench.former())
    return {
        "group": bench.task.group,
        "kind": bench.task.kind,
        "network": bench.task.network,
        "examples": [len(part) for part in parts],
        "base_steps": recorded_recipes.base_steps(len(bench.whole.train)),
        "starting": bench.starting(rates),
        "former_seconds_per_step": float(f"{bench.train(recipe)[1]:.3g}"),
    }


def record(bench: Folds, entry: dict, name: str) -> tuple[list[dict], list[tuple]]:
    """All runs of a recipe; with each what its kept weights give, of its fold and the test part."""
    runs, kept = [], []
    for fold in range(1, bench.count(name) + 1):
        bench.use(fold)
        recipe, every = recorded_recipes.own_recipe(
            entry["starting"], OWN[name], fold, entry["base_steps"]
        )
        outcome, seconds = bench.train(recipe, every)
        runs.append(bench.row(name, recipe, outcome, seconds))
        held_out = bench.evaluations.problem.validation
        kept.append((held_out, *bench.watch.kept))
    return runs, kept


def together(bench: Folds, name: str, kept: list[tuple], of_base: np.ndarray | None) -> tuple:
    """What all kept weights of a recipe give together.

    Args:
        bench: of the task.
        name: of the recipe.
        kept: as `record` gives it.
        of_base: scores of the held out examples by the base recipe `[n]`.

    Returns:
        Scores of the held out examples `[n]`, and a row: their mean, its standard error and that
        of the gain over the base recipe, and the score and loss of the mean of all outputs on the
        test part.
    """
    found = [
        bench.evaluations.of(outputs, part)[0].clip(universe.LEAST_SCORE)
        for part, outputs, _ in kept
    ]
    examples = np.nan_to_num(np.concatenate(found), nan=universe.WORST)
    gains = examples - (examples if of_base is None else of_base[: len(examples)])
    mean = np.mean([outputs for _, _, outputs in kept], axis=0)
    tested, loss = bench.evaluations.of(mean, bench.whole.test)
    count = len(examples) ** 0.5
    figures = examples.mean(), examples.std() / count, gains.std() / count, tested.mean(), loss
    names = "validation", "error", "gain_error", "test", "test_loss"
    row = {"task": bench.name, "recipe": name, **dict(zip(names, universe.rounded(figures)))}
    return examples, row


def run_task(name: str, found: dict, rates: dict[str, float], cache: pathlib.Path) -> int:
    """Trains what is missing of a task and adds it; gives how many recipes it was."""
    task = recorded_tasks.TASKS[name]
    found.setdefault("bags", [])
    done = {bag["recipe"] for bag in found["bags"] if bag["task"] == name}
    bench, of_base = Folds(name, task, *task.read(cache)), None
    bench.use(1)
    if name not in found["tasks"]:
        found["tasks"][name] = new_entry(bench, rates)
    entry = found["tasks"][name]
    missing = [each for each in wanted(entry["starting"], task) if each not in done]
    for each in dict.fromkeys((BASE, *missing)) if missing else ():
        runs, kept = record(bench, entry, each)
        examples, row = together(bench, each, kept, of_base)
        of_base = examples if each == BASE else of_base
        if each in missing:
            found["runs"] += runs
            found["bags"].append(row)
    return len(missing)


def wanted(starting: dict, task) -> list[str]:
    """Names of the recipes that suit a task and differ from the one that is changed."""

    def made(changes: dict):
        return recorded_recipes.own_recipe(starting, changes, 1, recorded_recipes.LEAST_STEPS)

    suiting = [name for name, changes in OWN.items() if recorded_recipes.suits(changes, task)]
    differing = [name for name in suiting if name == BASE or made(OWN[name]) != made({})]
    return [name for name in differing if name in (FLAGS.recipes or OWN)]


def main(argv):
    universe.on_one_thread()
    cache, output = pathlib.Path(FLAGS.cache), pathlib.Path(FLAGS.output)
    recorded_tasks.fetch(cache)
    probes = recorded_runs.read()["tasks"]
    for name in FLAGS.tasks or recorded_tasks.TASKS:
        if name not in probes:
            print(f"{name}: skipped, it is not in {recorded_runs.PATH.name}", flush=True)
            continue
        rates = {family: each["best"] for family, each in probes[name]["probes"].items()}
        universe.add_to(output, name, lambda known: run_task(name, known, rates, cache))


if __name__ == "__main__":
    flags.DEFINE_string("cache", "benchmark-data", "Where archives of the tasks are kept.")
    flags.DEFINE_string("output", str(recorded_runs.FOLDS_PATH), "File that is written.")
    flags.DEFINE_list("tasks", [], "Tasks; all by default.")
    flags.DEFINE_list("recipes", [], "Recipes; all by default.")
    sys.exit(app.run(main))
