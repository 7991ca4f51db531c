"""The file of the recorded runs, and what an engine that is replayed may see of it.

One compressed JSON file: `tasks` by name, and a list of `runs`, each the curves of one training.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import os
import pathlib
from collections import Counter
from typing import Any

import numpy as np
from recorded_recipes import OWN

from kerastune.playbook.rules import bag

# A run at a constant rate may end at any time: these parts of it are recipes of their own, too.
PARTS = {f"keras defaults, 1/{divisor}": ("keras defaults", divisor) for divisor in (8, 4, 2)}
MANY = 1000  # training examples; a task with fewer is small
SMALL = ", small"  # behind the kind of a small task's data
PATH = pathlib.Path(__file__).parent / "benchmark_results" / "universe.json.gz"
FOLDS_PATH = PATH.with_name("folds.json.gz")


def read(path: pathlib.Path = PATH) -> dict[str, Any]:
    """Tasks and runs; both empty where there is no file yet."""
    if not path.exists():
        return {"tasks": {}, "runs": []}
    return json.loads(gzip.decompress(path.read_bytes()))


def write(universe: dict[str, Any], path: pathlib.Path = PATH) -> None:
    """Writes the file beside and renames it, so that it is whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(universe, separators=(",", ":"), sort_keys=True)
    beside = path.with_suffix(".part")
    beside.write_bytes(gzip.compress(text.encode(), mtime=0))
    os.replace(beside, path)


def kept(run: dict[str, Any], until: float = np.inf) -> int:
    """Which evaluation's weights a run keeps: the best one, as kerastune does.

    Args:
        run: as it is recorded.
        until: step at which it was stopped.

    Returns:
        Index of the evaluation, -1 where there was none before `until`.

    Example:
        >>> run = {"steps": [50, 100], "validation": [0.9, 0.8], "validation_loss": [1.0, 1.0]}
        >>> kept(run), kept(run, until=30)
        (0, -1)
    """
    seen = int(np.searchsorted(run["steps"], until, side="right"))
    scores = zip(run["validation"][:seen], run["validation_loss"][:seen])
    keys = [(score, -loss) for score, loss in scores]
    return keys.index(max(keys)) if keys else -1


@dataclasses.dataclass(frozen=True)
class World:
    """All runs of one task.

    Args:
        name: of the task.
        entry: what is told of the task: group, kind, sizes, base steps, probes.
        runs: by recipe and seed.
        changes: of every recipe, from the base recipe.
        bags: by recipe, the test score of the mean of all folds, where all are recorded.
    """

    name: str
    entry: dict[str, Any]
    runs: dict[tuple[str, int], dict[str, Any]]
    changes: dict[str, dict[str, Any]]
    bags: dict[str, float] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def seeds(self) -> list[int]:
        """Seeds that the base recipe was recorded with."""
        return sorted(seed for recipe, seed in self.runs if recipe == "base")

    @functools.cached_property
    def recipes(self) -> list[str]:
        """Recipes that were recorded with all seeds, in the order of their table."""
        return [
            recipe
            for recipe in self.changes
            if all((recipe, seed) in self.runs for seed in self.seeds)
        ]

    @property
    def whole(self) -> list[str]:
        """The recipes without those that are parts of another's run."""
        return [recipe for recipe in self.recipes if recipe not in PARTS]

    @property
    def is_small(self) -> bool:
        """Whether there are fewer than `MANY` training examples."""
        return self.entry["examples"][0] < MANY

    @property
    def data(self) -> str:
        """Kind and size of the data, as `"table"` or `"table, small"`."""
        return self.entry["group"] + SMALL * self.is_small

    def family(self, recipe: str) -> str:
        """Whose probe tells the learning rate; empty where the recipe has its own."""
        changes = self.changes[recipe]
        if "learning_rate" in changes:
            return ""
        return "sgd" if changes.get("optimizer", "sgd") == "sgd" else "adam"

    @functools.cached_property
    def base_seconds(self) -> float:
        """Seconds of a training by the base recipe of the former network: the unit of budgets."""
        seconds = [self.runs["base", seed]["seconds_per_step"] for seed in self.seeds]
        step = self.entry.get("former_seconds_per_step", float(np.median(seconds)))
        return step * self.entry["base_steps"]

    def tested(self, recipe: str, step: float = np.inf) -> float:
        """Test score at a step, the mean over seeds; of a run that diverged its last one."""
        scores = []
        for seed in self.seeds:
            run = self.runs[recipe, seed]
            scores.append(run["test"][max(np.searchsorted(run["steps"], step, "right") - 1, 0)])
        return float(np.mean(scores))

    @functools.cached_property
    def finals(self) -> dict[str, float]:
        """Test score of what every recipe keeps, the mean over seeds."""
        return {
            recipe: float(np.mean([self.kept_test(recipe, seed) for seed in self.seeds]))
            for recipe in self.recipes
        }

    def kept_test(self, recipe: str, seed: int) -> float:
        """Test score of what one run keeps."""
        run = self.runs[recipe, seed]
        return run["test"][kept(run)]

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """The best of `finals`, and how far the median recipe is below it (at least 0.002)."""
        scores = [self.finals[recipe] for recipe in self.whole]
        best = max(scores)
        return best, max(best - float(np.median(scores)), 0.002)


def worlds(universe: dict[str, Any], changes: dict[str, dict[str, Any]]) -> list[World]:
    """A world for every task of a universe, parts of runs included."""
    known = dict(changes)
    for part, (recipe, divisor) in PARTS.items():
        known[part] = {**changes[recipe], "length": changes[recipe]["length"] / divisor}
    runs: dict[str, dict] = {}
    for run in universe["runs"]:
        for each in [run, *parts(run)]:
            if each["recipe"] in known:
                runs.setdefault(run["task"], {})[each["recipe"], run["seed"]] = each
    return [World(name, universe["tasks"][name], of_task, known) for name, of_task in runs.items()]


def parts(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a run as runs of their own."""
    found = []
    for part, (recipe, divisor) in PARTS.items():
        if run["recipe"] == recipe:
            count = max(len(run["steps"]) // divisor, 1)
            cut = {key: value[:count] for key, value in run.items() if isinstance(value, list)}
            found.append({**run, **cut, "recipe": part})
    return found


def own_worlds(folds: dict[str, Any], worlds: list[World]) -> list[World]:
    """A world of the present network for every task whose folds were recorded.

    Args:
        folds: as `universe_folds` records them.
        worlds: of the former networks, whose probes cost the same.
    """
    return [_own(folds, former) for former in worlds if former.name in folds["tasks"]]


def _own(folds: dict[str, Any], former: World) -> World:
    of_task = {
        kind: [each for each in folds[kind] if each["task"] == former.name]
        for kind in ("runs", "bags")
    }
    bags = {each["recipe"]: each for each in of_task["bags"] if each["recipe"] in OWN}
    runs = {(r["recipe"], r["seed"]): r for r in of_task["runs"] if r["recipe"] in bags}
    counts = Counter(recipe for recipe, _ in runs)
    runs = {key: _with_errors(run, bags[key[0]], counts[key[0]]) for key, run in runs.items()}
    means = {r: each["test"] for r, each in bags.items() if (r, bag.FOLDS) in runs}
    # Of larger data few recipes have all folds: those count that all have.
    common = [seed for _, seed in runs if all((recipe, seed) in runs for recipe in bags)]
    runs = {key: run for key, run in runs.items() if key[1] in common}
    entry = _own_entry(folds["tasks"][former.name], former)
    # `cnn` names no learning rate: the probe of Adam finds it.
    known = {"optimizer": "adam"} | ({} if entry["network"] == "cnn" else {"learning_rate": 0.0})
    changes = {recipe: known | OWN[recipe] for recipe in OWN if recipe in bags}
    return World(former.name, entry, runs, changes, means)


def _own_entry(entry: dict[str, Any], former: World) -> dict[str, Any]:
    """What is told of a task, with probes in the seconds of these runs and the size of a fold."""
    quicker = entry["former_seconds_per_step"] * entry["base_steps"] / former.base_seconds
    probes = {
        family: {"seconds": quicker * each["seconds"]}
        for family, each in former.entry["probes"].items()
    }
    return {**entry, "probes": probes, "fold": sum(entry["examples"][:2]) / bag.FOLDS}


def _with_errors(run: dict[str, Any], of_bag: dict[str, Any], count: int) -> dict[str, Any]:
    """A run with standard errors of its own fold, of those of so many folds together."""
    errors = {name: count**0.5 * of_bag[name] for name in ("error", "gain_error")}
    return {**run, **errors, "training_loss": run["validation_loss"]}


@dataclasses.dataclass(frozen=True)
class Choice:
    """What an engine returns: the weights of a run at a step that it paid for, or the mean of what
    all folds of a recipe keep.
    """

    recipe: str
    seed: int
    step: int
    is_bag: bool = False


@dataclasses.dataclass(frozen=True)
class Curve:
    """What an engine sees of a run, up to the step that it paid for: arrays `[evaluations]`.

    `gain_error` is the standard error of the score's gain over the base recipe, by validation
    examples; `kept` is the index of the evaluation whose weights are kept, -1 if there is none.
    """

    steps: np.ndarray
    validation: np.ndarray
    validation_loss: np.ndarray
    training_loss: np.ndarray
    gain_error: float
    error: float
    kept: int
    is_whole: bool


class Records:
    """The view of one task that an engine has: what it asks for costs the recorded seconds.

    Args:
        world: the task.
        seed: its own; others cut training and validation part anew.
        seconds: of the budget.
    """

    def __init__(self, world: World, seed: int, seconds: float):
        self._world, self.seed, self.seconds = world, seed, seconds
        self.spent = 0.0
        self._paid: dict[tuple[str, int], float] = {}
        self._probed: set[str] = set()
        self._bagged: set[str] = set()

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - self.spent

    @property
    def recipes(self) -> list[str]:
        """Names of what was recorded."""
        return self._world.whole

    @property
    def recipes_and_parts(self) -> list[str]:
        """With the parts of runs that may end at any time."""
        return self._world.recipes

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """Of every recipe, from the base recipe."""
        return self._world.changes

    @property
    def group(self) -> str:
        """Kind of the data."""
        return self._world.entry["group"]

    @property
    def network(self) -> str:
        """Name of the built-in network."""
        return self._world.entry["network"]

    @property
    def num_train(self) -> int:
        """Training examples."""
        return self._world.entry["examples"][0]

    def has_bag(self, recipe: str) -> bool:
        """Whether the folds of a recipe make a bag."""
        return recipe in self._world.bags

    def bag_cost(self, recipe: str) -> float:
        """Seconds of what is not trained yet of all folds; each takes as long as the own one."""
        others = (bag.FOLDS - 1) * self._seconds((recipe, self.seed), np.inf)
        return self.cost(recipe) + others

    def train_bag(self, recipe: str) -> Choice:
        """Trains all folds of a recipe.

        Raises:
            ValueError: where what is left does not hold them.
        """
        if (cost := self.bag_cost(recipe)) > self.left:
            raise ValueError(f"the folds of {recipe} take {cost:.3g} s of {self.left:.3g} s.")
        self.curve(recipe)
        self.spent += (bag.FOLDS - 1) * self._seconds((recipe, self.seed), np.inf)
        self._bagged.add(recipe)
        return Choice(recipe, self.seed, 0, is_bag=True)

    @property
    def seeds(self) -> list[int]:
        """All seeds, the own one first."""
        return [self.seed, *(seed for seed in self._world.seeds if seed != self.seed)]

    def length(self, recipe: str) -> int:
        """Steps of a whole run."""
        return self._world.runs[recipe, self.seed]["steps"][-1]

    def cost(self, recipe: str, seed: int | None = None, step: float = np.inf) -> float:
        """Seconds from what was paid to a step, a probe that is needed included."""
        key = recipe, self.seed if seed is None else seed
        probe = self._probe_seconds(recipe)
        return probe + max(self._seconds(key, step) - self._paid.get(key, 0.0), 0.0)

    def fits(self, recipe: str, seed: int | None = None) -> bool:
        """Whether what is left holds the whole of a run."""
        return self.cost(recipe, seed) <= self.left

    def curve(self, recipe: str, seed: int | None = None, step: float = np.inf) -> Curve:
        """Trains up to a step, or until the budget is spent."""
        key = recipe, self.seed if seed is None else seed
        run = self._world.runs[key]
        self.spent += self._probe_seconds(recipe)
        self._probed.add(self._world.family(recipe))
        paid = self._paid.get(key, 0.0)
        self._paid[key] = max(min(self._seconds(key, step), paid + max(self.left, 0.0)), paid)
        self.spent += self._paid[key] - paid
        costs = np.array([self._seconds(key, each) for each in run["steps"]])
        count = int((costs <= self._paid[key] + 1e-9).sum())
        last = run["steps"][count - 1] if count else 0
        shown = [run[name][:count] for name in ("steps", "validation", "validation_loss")]
        return Curve(
            *map(np.array, (*shown, run["training_loss"][:count])),
            run["gain_error"],
            run["error"],
            kept(run, last),
            count == len(run["steps"]),
        )

    def tested(self, choice: Choice) -> float:
        """Test score of a choice, the mean over seeds; for who scores the engine, not for it."""
        key = choice.recipe, choice.seed
        is_paid = self._seconds(key, choice.step) <= 1e-9 + self._paid.get(key, 0.0)
        if not (choice.recipe in self._bagged if choice.is_bag else is_paid):
            raise ValueError(f"{choice} was not paid for.")
        if choice.is_bag:
            return self._world.bags[choice.recipe]
        return self._world.tested(choice.recipe, choice.step)

    def _seconds(self, key: tuple[str, int], step: float) -> float:
        run = self._world.runs[key]
        count = int(np.searchsorted(run["steps"], step, side="right"))
        steps = min(step, run["steps"][-1])
        return steps * run["seconds_per_step"] + count * run["seconds_per_evaluation"]

    def _probe_seconds(self, recipe: str) -> float:
        family = self._world.family(recipe)
        if not family or family in self._probed:
            return 0.0
        return self._world.entry["probes"][family]["seconds"]
