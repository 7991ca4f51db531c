"""Plays engines against the recorded runs, in seconds: python runs/replay.py.

An engine gets a budget and sees validation scores only. Its regret is how far the test score of
what it returns, the mean over seeds, is below the best recorded recipe's. A task's unit is the
distance from its best to its median recipe: 0 is the best recipe, 1 the median one. Whatever is
fitted is fitted on the other tasks. `--write_priors` fits on all and writes them for kerastune.
"""

from __future__ import annotations

import json
import pathlib
import sys
import zlib

import benchmark_bags
import numpy as np
import recorded_runs
import replay_contestants
import replay_priors
from absl import app, flags
from recorded_recipes import RECIPES
from recorded_runs import MANY, SMALL, Records, World
from replay_contestants import Correlated, ExpectedValue, Shrunk

from kerastune.playbook.rules import bag

FLAGS = flags.FLAGS
BUDGETS = (1, 2, 4, 8, 16)  # trainings by the base recipe
UNLIMITED = "all validation scores"  # the best of them: what is left is noise of the parts
ADAM = "adam"
DRAWS = 10  # plays of an engine whose result depends on chance
ROOT = pathlib.Path(__file__).parents[1]
PRIORS = ROOT / "kerastune" / "playbook" / "priors.json"


def play(world: World, engine, budget: float, draws: int) -> float:
    """Test score of what an engine returns on a task: the mean over seeds and draws.

    Args:
        world: the task.
        engine: takes records and a generator, gives a choice.
        budget: in trainings by the base recipe.
        draws: plays with other random numbers.
    """
    scores = []
    for seed in world.seeds:
        for draw in range(draws):
            records = Records(world, seed, budget * world.base_seconds)
            rng = np.random.default_rng([zlib.crc32(world.name.encode()), seed, draw])
            scores.append(records.tested(engine(records, rng)))
    return float(np.mean(scores))


def contestants(worlds: list[World], left_out: World) -> dict:
    """All engines, with what is fitted on the other tasks, and how often each is played."""
    others = [world for world in worlds if world.name != left_out.name]
    found = {
        name: (engine, DRAWS if name in replay_contestants.DRAWN else 1)
        for name, engine in replay_contestants.FIXED.items()
    }
    prior = replay_priors.joint(others, left_out.data)
    return {
        **found,
        "expected value": (ExpectedValue(prior, Shrunk), 1),
        "expected value, correlated": (ExpectedValue(prior, Correlated), 1),
    }


def played(worlds: list[World]) -> dict[str, np.ndarray]:
    """Test score of every contestant `[tasks, budgets]`."""
    found: dict[str, list] = {}
    for world in worlds:
        for name, (engine, draws) in contestants(worlds, world).items():
            row = [play(world, engine, budget, draws) for budget in BUDGETS]
            found.setdefault(name, []).append(row)
    found[UNLIMITED] = [
        [play(world, replay_contestants.all_seen, 1e9, 1)] * len(BUDGETS) for world in worlds
    ]
    return {name: np.array(rows) for name, rows in found.items()}


def regrets(worlds: list[World], scores: np.ndarray) -> np.ndarray:
    """How far scores `[tasks, budgets]` are below the best recipe's, in the tasks' units."""
    best, unit = np.array([world.scale for world in worlds]).T
    return (best[:, None] - scores) / unit[:, None]


def points(worlds: list[World], scores: np.ndarray) -> np.ndarray:
    """How far scores `[tasks, budgets]` are above a whole run of Keras's defaults, in points.

    A gain or loss of more than five points counts as five.
    """
    of_keras = np.array([world.finals["keras defaults"] for world in worlds])
    most = replay_priors.MOST
    return 100 * np.clip(scores - of_keras[:, None], -most, most)


def table(found: dict[str, np.ndarray], form: str) -> list[str]:
    """Means over tasks with their standard errors, a line for every contestant."""
    lines = ["| contestant | " + " | ".join(f"{b}x" for b in BUDGETS) + " |"]
    lines.append("|---" * (len(BUDGETS) + 1) + "|")
    for name, values in found.items():
        errors = values.std(axis=0) / max(len(values) - 1, 1) ** 0.5
        pairs = zip(values.mean(axis=0), errors)
        cells = [f"{mean:{form}} ± {error:.2f}" for mean, error in pairs]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def task_table(worlds: list[World], found: dict[str, np.ndarray], budget: int) -> list[str]:
    """Regret by task at one budget, a line for every task."""
    column = BUDGETS.index(budget)
    lines = [f"| task, at {budget}x | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for row, world in enumerate(worlds):
        cells = [f"{values[row, column]:.2f}" for values in found.values()]
        lines.append(f"| {world.name} ({world.data}) | {' | '.join(cells)} |")
    return lines


def kept_gains(worlds: list[World]) -> np.ndarray:
    """Points by keeping the best evaluation, and not the last.

    The mean over all runs whose rate decays, by task; at most five points.
    """
    found = []
    for world in worlds:
        differences = [
            world.kept_test(recipe, seed) - run["test"][-1]
            for (recipe, seed), run in world.runs.items()
            if world.changes[recipe].get("decay") != "none" and not run["diverged"]
        ]
        found.append(100 * min(float(np.mean(differences)), replay_priors.MOST))
    return np.array(found)


def kinds(worlds: list[World]) -> list[str]:
    """Kinds of data, the small ones behind the others."""
    groups = sorted({world.entry["group"] for world in worlds})
    return [group + size for size in ("", SMALL) for group in groups]


def gain_table(worlds: list[World]) -> list[str]:
    """Expected gain of every recipe by kind of data, in points, ± its standard error."""
    seen = {world.data for world in worlds}
    fitted = {kind: replay_priors.priors(worlds, kind) for kind in kinds(worlds) if kind in seen}
    lines = [f"| recipe | {' | '.join(fitted)} |", "|---" * (len(fitted) + 1) + "|"]
    for recipe in worlds[0].changes:
        priors = [of_kind.get(recipe) for of_kind in fitted.values()]
        cells = [
            f"{100 * p.mean:+.1f} ± {100 * p.error:.1f}" if p and p.tasks else "" for p in priors
        ]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return lines


def priors_file(worlds: list[World], bags: dict) -> dict:
    """What kerastune reads: fitted on all tasks; nothing of a kind that was not seen on it.

    Args:
        worlds: the tasks.
        bags: as `benchmark_bags.read` gives them.
    """
    known = [*kinds(worlds), replay_priors.OTHER, replay_priors.OTHER + SMALL]
    gains = gains_by_kind(worlds, known, "base")
    changes = {recipe: worlds[0].changes[recipe] for recipe in gains}
    of_adam = gains_by_kind(worlds, known, ADAM)
    with_adam = {name: of_adam[name] for name in of_adam if changes[name].get("optimizer") == ADAM}
    of_bags = {kind: replay_priors.bag_prior(bags, kind) for kind in known}
    gains[bag.CHANGE] = {kind: _told(prior) for kind, prior in of_bags.items() if prior}
    stds = {kind: replay_priors.seed_std(worlds, kind) for kind in known}
    return {
        "source": f"python runs/replay.py --write_priors, from {len(worlds)} tasks; gains over the "
        "base recipe (SGD), and over Adam at its own learning rate, in units of the score "
        f"(accuracy, or R² of a regression); those of a bag "
        f"over one model; small is fewer than {MANY} training examples",
        "changes": changes,
        "gains": gains,
        "gains_of": {ADAM: with_adam},
        "seed_std": {kind: std for kind, std in stds.items() if std is not None},
    }


def gains_by_kind(worlds: list[World], kinds: list[str], reference: str) -> dict[str, dict]:
    """Priors over a reference, by recipe and kind of data."""
    gains: dict[str, dict] = {}
    for kind in kinds:
        for recipe, prior in replay_priors.priors(worlds, kind, reference).items():
            if prior.tasks:
                gains.setdefault(recipe, {})[kind] = _told(prior)
    return gains


def _told(prior: replay_priors.Prior) -> dict[str, float]:
    return {"mean": round(prior.mean, 5), "std": round(prior.std, 5), "tasks": prior.tasks}


def main(argv):
    universe = recorded_runs.read(pathlib.Path(FLAGS.universe))
    worlds = recorded_runs.worlds(universe, RECIPES)
    if len(worlds) < 3:
        sys.exit(f"{FLAGS.universe} holds {len(worlds)} tasks; at least 3 are needed.")
    if FLAGS.write_priors:
        bags = benchmark_bags.read()
        text = json.dumps(priors_file(worlds, bags), indent=1, sort_keys=True, ensure_ascii=False)
        PRIORS.write_text(text + "\n", encoding="utf-8")
    scores = played(worlds)
    of_all = {name: regrets(worlds, values) for name, values in scores.items()}
    gains = {name: points(worlds, values) for name, values in scores.items()}
    runs = len(universe["runs"])
    print(f"{len(worlds)} tasks, {runs} runs; regret, 0 is the best recipe, 1 the median one:")
    print("\n".join(table(of_all, ".2f")))
    is_large = np.array([not world.is_small for world in worlds])
    for size, of_size in (("at least", is_large), ("fewer than", ~is_large)):
        print(
            f"\nPoints above a whole run of Keras's defaults; {of_size.sum()} tasks with {size} "
            f"{MANY} training examples:"
        )
        print("\n".join(table({name: each[of_size] for name, each in gains.items()}, "+.2f")))
    kept = kept_gains(worlds)
    print(
        f"\nThe best evaluation in place of the last: {kept.mean():+.2f} ± "
        f"{kept.std() / (len(kept) - 1) ** 0.5:.2f} points on the mean, {kept.min():+.2f} at least."
    )
    for budget in FLAGS.by_task:
        print("\n".join(["", *task_table(worlds, of_all, int(budget))]))
    print("\n".join(["", *gain_table(worlds)]))


if __name__ == "__main__":
    flags.DEFINE_string("universe", str(recorded_runs.PATH), "File of the recorded runs.")
    flags.DEFINE_list("by_task", ["4"], f"Budgets whose regret is told by task, of {BUDGETS}.")
    flags.DEFINE_boolean("write_priors", False, f"Write {PRIORS.relative_to(ROOT)}.")
    sys.exit(app.run(main))
