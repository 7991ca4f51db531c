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

import numpy as np
import recorded_runs
import replay_contestants
import replay_priors
from absl import app, flags
from recorded_recipes import BASE, OWN, RECIPES
from recorded_runs import MANY, SMALL, Records, World
from replay_contestants import ExpectedValue, Kerastune

from kerastune.playbook.rules import bag
from kerastune.playbook.rules.expected_gain import BUILT_IN, TUNED, TUNED_BUILT_IN

FLAGS = flags.FLAGS
BUDGETS = (4, 8, 16, 32, 64)  # trainings by the base recipe of the former network
KERASTUNE = "kerastune"
UNLIMITED = "all validation scores"  # the best of them: what is left is noise of the parts
ADAM = "adam"
KERAS = "keras defaults"
DRAWS = 10  # plays of an engine whose result depends on chance
ROOT = pathlib.Path(__file__).parents[1]
PRIORS = ROOT / "kerastune" / "playbook" / "priors.json"


def play(world: World, engine, seconds: float, draws: int) -> float:
    """Test score of what an engine returns on a task: the mean over seeds and draws.

    Args:
        world: the task.
        engine: takes records and a generator, gives a choice.
        seconds: its budget.
        draws: plays with other random numbers.
    """
    scores = []
    for seed in world.seeds:
        for draw in range(draws):
            records = Records(world, seed, seconds)
            rng = np.random.default_rng([zlib.crc32(world.name.encode()), seed, draw])
            scores.append(records.tested(engine(records, rng)))
    return float(np.mean(scores))


def contestants(worlds: list[World], left_out: World) -> dict:
    """All engines on the former networks, with what is fitted on the other tasks, and how often
    each is played.
    """
    found = {
        name: (engine, DRAWS if name in replay_contestants.DRAWN else 1)
        for name, engine in replay_contestants.FIXED.items()
    }
    prior = replay_priors.believed(but(worlds, left_out), left_out.data)
    return {**found, "expected value": (ExpectedValue(prior), 1)}


def paired(worlds: list[World], own: list[World]) -> list[tuple[World, World]]:
    """The former and the present network of every task that both were recorded on."""
    by_name = {world.name: world for world in own}
    return [(world, by_name[world.name]) for world in worlds if world.name in by_name]


def but(worlds: list[World], left_out: World) -> list[World]:
    """All worlds of other tasks."""
    return [world for world in worlds if world.name != left_out.name]


def played(pairs: list[tuple[World, World]]) -> dict[str, np.ndarray]:
    """Test score of every contestant `[tasks, budgets]`.

    Args:
        pairs: of every task the former network and the present one.
    """
    worlds = [world for world, _ in pairs]
    found: dict[str, list] = {}

    def add(name: str, world: World, engine, draws: int = 1) -> None:
        row = [play(world, engine, budget * world.base_seconds, draws) for budget in BUDGETS]
        found.setdefault(name, []).append(row)

    for world, of_own in pairs:
        for name, (engine, draws) in contestants(worlds, world).items():
            add(name, world, engine, draws)
        add(KERASTUNE, of_own, Kerastune())
        add("its network, Keras defaults", of_own, replay_contestants.keras_defaults)
    found[UNLIMITED] = [
        [play(world, replay_contestants.all_seen, 1e9, 1)] * len(BUDGETS) for world in worlds
    ]
    return {name: np.array(rows) for name, rows in found.items()}


def scale(pair: tuple[World, World]) -> tuple[float, float]:
    """The best recorded score of both networks, bags among them, and how far the median recipe is
    below it (at least 0.002).
    """
    scores = [world.finals[recipe] for world in pair for recipe in world.whole]
    best = max([*scores, *pair[1].bags.values()])
    return best, max(best - float(np.median(scores)), 0.002)


def regrets(pairs: list[tuple[World, World]], scores: np.ndarray) -> np.ndarray:
    """How far scores `[tasks, budgets]` are below the best recipe's, in the tasks' units."""
    best, unit = np.array([scale(pair) for pair in pairs]).T
    return (best[:, None] - scores) / unit[:, None]


def points(worlds: list[World], scores: np.ndarray) -> np.ndarray:
    """How far scores `[tasks, budgets]` are above a whole run of Keras's defaults, in points.

    A gain or loss of more than five points counts as five.
    """
    of_keras = np.array([world.finals[KERAS] for world in worlds])
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


def priors_file(worlds: list[World], own: list[World]) -> dict:
    """What kerastune reads: fitted on all tasks; nothing of a kind that was not seen on it.

    Args:
        worlds: the former networks.
        own: the present ones.
    """
    known = [*kinds(worlds), replay_priors.OTHER, replay_priors.OTHER + SMALL]
    gains = gains_by_kind(worlds, known, BASE)
    changes = {recipe: worlds[0].changes[recipe] for recipe in gains}
    of_adam = gains_by_kind(worlds, known, ADAM)
    with_adam = {name: of_adam[name] for name in of_adam if changes[name].get("optimizer") == ADAM}
    of_bags = {kind: replay_priors.bag_prior(own, kind) for kind in known}
    gains[bag.CHANGE] = {kind: _told(prior) for kind, prior in of_bags.items() if prior}
    gains[TUNED] = gains_by_kind(worlds, known, KERAS)[ADAM]
    gains[TUNED_BUILT_IN] = gains_by_kind(own, known, KERAS)[BASE]
    of_built_in = gains_by_kind(own, known, BASE)
    of_built_in = {r: each for r, each in of_built_in.items() if r not in (BASE, KERAS)}
    stds = {kind: replay_priors.seed_std(worlds, kind) for kind in known}
    return {
        "source": f"python runs/replay.py --write_priors, from {len(worlds)} tasks; gains over the "
        "base recipe (SGD), and over Adam at its own learning rate, in units of the score "
        "(accuracy, or R² of a regression); those of a bag over one model, and of what a search "
        f"begins with over Keras's defaults; small is fewer than {MANY} training examples",
        "changes": changes,
        "gains": gains,
        "gains_of": {ADAM: with_adam, BUILT_IN: of_built_in},
        "changes_of_built_in": {
            recipe: {"optimizer": ADAM, **OWN[recipe]} for recipe in of_built_in
        },
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
    folds = recorded_runs.read(pathlib.Path(FLAGS.folds))
    own = recorded_runs.own_worlds(folds, worlds)
    if len(own) < 3:
        sys.exit(f"{FLAGS.folds} holds {len(own)} tasks; at least 3 are needed.")
    if FLAGS.write_priors:
        text = json.dumps(priors_file(worlds, own), indent=1, sort_keys=True, ensure_ascii=False)
        PRIORS.write_text(text + "\n", encoding="utf-8")
    pairs = paired(worlds, own)
    worlds = [world for world, _ in pairs]
    scores = played(pairs)
    of_all = {name: regrets(pairs, values) for name, values in scores.items()}
    gains = {name: points(worlds, values) for name, values in scores.items()}
    runs = len(universe["runs"]) + len(folds["runs"])
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
    flags.DEFINE_string("folds", str(recorded_runs.FOLDS_PATH), "File of the present networks.")
    flags.DEFINE_list("by_task", ["4"], f"Budgets whose regret is told by task, of {BUDGETS}.")
    flags.DEFINE_boolean("write_priors", False, f"Write {PRIORS.relative_to(ROOT)}.")
    sys.exit(app.run(main))
