"""Prints how far the probe's suggestion is from the best rate of a grid (S1.7): python
runs/benchmark_probe.py.

The grid is half decades (0.3, 0.1, 0.03 ...), wider while the best is on its edge;
`curves.fastest_and_deepest` chooses among the curves, averaged over the seeds. `--tasks=fitting`
prints the rows that the constants of `kerastune.analysis.learning_rate_probe` are medians of; a
list such as `--tasks=digits,wine` those rows only.
"""

import itertools
import os
import pathlib
import sys

import numpy as np
from absl import app, flags

from kerastune.analysis import curves, learning_rate_probe
from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.stages.probe import Probe
from kerastune.playbook.stages.start import starting_batch_size
from kerastune.recipe import Recipe
from kerastune.trial import TrialSpec

FLAGS = flags.FLAGS
IMAGES = ("digits", "fashion_mnist", "fashion_first", "fashion_last")
TABLES = ("wine", "breast_cancer", "diabetes", "iris")
GRID = {"sgd": range(-7, 1), "adam": range(-8, -1)}  # in half decades


def rate(half_decades):
    """0.01, 0.03, 0.1 ... for -4, -3, -2 ..."""
    return float(f"{1 + 2 * (half_decades % 2)}e{half_decades // 2}")


def rows():
    """`(task, model)` of the rows asked for."""
    import generated_tasks as generated

    reported = [(name, "mlp") for name in (*IMAGES, *TABLES, "spirals", "parity")]
    reported += [(name, "cnn") for name in (*IMAGES, "gratings", "shapes")]
    fitting = [(name, "mlp") for name in (*generated.FITTING_TABLES, "strokes", "textures")]
    fitting += [(name, "cnn") for name in generated.FITTING_IMAGES]
    sets = {"reported": reported, "fitting": fitting}
    return sets.get(FLAGS.tasks[0], [row for row in reported + fitting if row[0] in FLAGS.tasks])


class Row:
    """One task and model: trains with either optimizer, at the batch size that a search would start
    with.
    """

    def __init__(self, name, model):
        from keras_tuner import HyperParameters

        from kerastune.data import loading
        from kerastune.models import hypermodels
        from kerastune.training.trainer import Trainer

        task = loading.load(
            name if name in ("digits", "fashion_mnist", *TABLES) else f"generated_tasks:{name}"
        )
        hypermodel = hypermodels.load(model, task)
        objective = Objective("loss", "min")
        self.trainer = Trainer(
            task, lambda hyperparameters: hypermodel.build(HyperParameters()), objective
        )
        size = hypermodel.build(HyperParameters()).count_params()
        self.facts = Facts(
            len(task.train), 0, objective, 0, task.num_classes, task.imbalanced, size
        )
        self.batch_size, _ = starting_batch_size(self.facts)

    def suggestion(self, recipe):
        """What the probe suggests, and the batches it took."""
        stage, outcomes = Probe(), {}
        while specs := stage.propose(Context(recipe, self.facts, outcomes)):
            outcomes |= {spec.trial: self.trainer.run(spec)[0] for spec in specs}
        decision = stage.decide(Context(recipe, self.facts, outcomes))
        return decision.after.learning_rate, sum(outcome.steps for outcome in outcomes.values())

    def best(self, recipe):
        """The grid's best rate, or `None` when all diverge."""
        tried, wanted = {}, list(GRID[recipe.optimizer])
        while wanted:
            tried |= {
                each: self._mean_curve(recipe.replace(learning_rate=rate(each))) for each in wanted
            }
            exponents = sorted(tried)
            index = curves.fastest_and_deepest([tried[each] for each in exponents])
            beyond = {
                0: exponents[0] - 1,
                None: exponents[0] - 1,
                len(exponents) - 1: exponents[-1] + 1,
            }
            wanted = [each for each in (beyond.get(index, 3),) if -14 < each < 3]
        return None if index is None else rate(exponents[index])

    def _mean_curve(self, recipe):
        """Loss of every step averaged over the seeds; all NaN when one of them diverges."""
        losses = []
        for seed in range(1, FLAGS.seeds + 1):
            outcome, *_ = self.trainer.run(
                TrialSpec("grid", "benchmark", recipe.replace(seed=seed), 0, FLAGS.steps)
            )
            if outcome.diverged_at is not None:
                return np.full(FLAGS.steps, np.nan)
            losses.append(outcome.losses)
        return np.mean(losses, axis=0)


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(0, str(pathlib.Path(__file__).parent))  # for `generated_tasks`
    constants, ratios = (
        {"sgd": learning_rate_probe.LOSS_SHARE, "adam": learning_rate_probe.TARGET_RATIO},
        [],
    )
    exact = {optimizer: [] for optimizer in FLAGS.optimizers}
    titles = (
        "task | model | optimizer | batch size | batches | suggested | grid's best | ratio | "
        "within 3x"
    )
    print(f"| {titles} |\n{'|---' * 9}|")
    for (name, model), optimizer in itertools.product(rows(), FLAGS.optimizers):
        row = Row(name, model)
        recipe = Recipe(
            optimizer=optimizer, batch_size=row.batch_size, decay="none", total_steps=FLAGS.steps
        )
        (suggested, used), best = row.suggestion(recipe), row.best(recipe)
        ratios.append(suggested / best if best else np.nan)
        exact[optimizer].append(constants[optimizer] / ratios[-1])
        within = "yes" if 1 / 3 <= ratios[-1] <= 3 else "**no**"
        cells = (
            name,
            model,
            optimizer,
            row.batch_size,
            used,
            f"{suggested:.2g}",
            best,
            f"{ratios[-1]:.2f}",
            within,
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    share = np.mean([1 / 3 <= ratio <= 3 for ratio in ratios])
    print(f"\nWithin a factor of 3: {share:.0%} of {len(ratios)} rows.")
    for optimizer, values in exact.items():
        print(
            f"Constant for {optimizer}: {constants[optimizer]}; the median of these rows is "
            f"{np.median(values):.3g}."
        )


if __name__ == "__main__":
    flags.DEFINE_integer("steps", 300, "Steps of every training of the grid.", 1)
    flags.DEFINE_integer("seeds", 3, "Seeds of the grid.", 1)
    flags.DEFINE_list("tasks", ["reported"], "Names of tasks, or `reported` or `fitting`.")
    flags.DEFINE_list("optimizers", ["sgd", "adam"], "Optimizers.")
    sys.exit(app.run(main))
