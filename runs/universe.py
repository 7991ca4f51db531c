"""Records trainings of many recipes on many tasks: python runs/universe.py --cache=FOLDER.

Every run is one of kerastune's own trainings of a built-in network. What is recorded already is
not trained again, so a run that was stopped goes on, and a new line in `RECIPES` trains only that.
Costs are processor seconds of one thread, so that other programs don't spoil them.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np
import recorded_recipes
import recorded_runs
import recorded_tasks
from absl import app, flags
from recorded_recipes import CHUNK, RECIPES, WORST_LOSS

FLAGS = flags.FLAGS
WORST = -1.0  # R² of a regression that diverged
LEAST_SCORE = -100.0  # of a single example, where standard errors are worked out


# One training.


class Evaluations:
    """Scores and losses on validation and test part, at every evaluation of one model.

    Args:
        problem: the prepared data.
    """

    def __init__(self, problem):
        self.problem = problem
        self.functions: dict[int, tuple] = {}

    def outputs(self, model, x):
        """Outputs for all examples of a part, by a function that is traced once for a model."""
        import tensorflow as tf

        if id(model) not in self.functions:  # the model is kept too, so that no other has its id
            examples = tf.TensorSpec([None, *x.shape[1:]], x.dtype)
            call = tf.function(lambda x: model(x, training=False), input_signature=[examples])
            self.functions[id(model)] = call, model
        return self.functions[id(model)][0](tf.convert_to_tensor(x)).numpy()

    def of(self, outputs: np.ndarray, part) -> tuple:
        """Score of every example (larger is better, their mean is the score), and the loss."""
        if self.problem.kind == "regression":
            squares = np.square(outputs[:, 0] - part.y.reshape(-1)).astype(np.float64)
            return 1 - squares / part.y.var(), float(np.mean(squares))
        labels = part.y.reshape(-1).astype(int)
        correct = (outputs.argmax(1) == labels).astype(np.float64)
        chosen = np.maximum(outputs[np.arange(len(labels)), labels], 1e-7)
        return correct, float(-np.log(chosen).mean())


def watching(evaluations: Evaluations):
    """A callback that evaluates every `every` steps, where that is set; it counts its seconds."""
    import keras

    from kerastune.training import optimizers

    class Watching(keras.callbacks.Callback):
        every = 0

        def __deepcopy__(self, memo):
            return self  # the trainer copies callbacks, but there is one record

        def start(self, every: int, averages: bool = False) -> None:
            self.every, self.averages = every, averages
            self.steps, self.seconds, self.rows = 0, [], []
            self.best = (-np.inf, 0.0)

        def on_train_batch_end(self, batch, logs=None):
            self.steps += CHUNK
            if self.every and self.steps % self.every == 0:
                self.swap()
                self.evaluate()
                self.swap()

        def swap(self):
            """Puts the moving average of the weights in place, and back."""
            if self.averages:
                optimizers.swap_average(self.model.optimizer)

        def evaluate(self):
            problem, began = evaluations.problem, time.process_time()
            outputs = evaluations.outputs(self.model, problem.validation.x)
            examples, loss = evaluations.of(outputs, problem.validation)
            between = time.process_time()
            test_outputs = evaluations.outputs(self.model, problem.test.x)
            tested, test_loss = evaluations.of(test_outputs, problem.test)
            scores = [max(np.nan_to_num(s.mean(), nan=WORST), WORST) for s in (examples, tested)]
            losses = [
                min(np.nan_to_num(value, nan=WORST_LOSS), WORST_LOSS) for value in (loss, test_loss)
            ]
            self.rows.append([self.steps, *scores, *losses])
            self.examples = np.maximum(np.nan_to_num(examples, nan=WORST), LEAST_SCORE)
            # Of the validation part, and of both.
            self.seconds.append((between - began, time.process_time() - began))
            if (rank := (scores[0], -losses[0])) > self.best:
                self.best, self.kept = rank, (outputs, test_outputs)

    return Watching()


class Bench:
    """Trains on one task with one seed.

    Args:
        name: of the task.
        task: as `recorded_tasks` has it.
        x: inputs of all examples.
        y: targets.
    """

    def __init__(self, name: str, task, x, y):
        self.name, self.task, self.x, self.y = name, task, x, y
        self.traced: dict[tuple, float] = {}
        self.trainer = self.seed = None

    def use(self, seed: int) -> None:
        """Cuts the data by this seed, unless they are already; what was traced is kept."""
        from kerastune.models import hypermodels
        from kerastune.objective import Objective
        from kerastune.training.trainer import Trainer

        if seed == self.seed:
            return
        self.seed = seed
        problem = recorded_tasks.problem(self.name, self.x, self.y, seed, self.task)
        if self.trainer is None:
            self.evaluations = Evaluations(problem)
            self.watch = watching(self.evaluations)
            hypermodel = hypermodels.load(self.task.network, problem)
            self.trainer = Trainer(
                problem, hypermodels.builder(hypermodel), Objective("loss", "min"), [self.watch]
            )
        self.evaluations.problem = problem
        self.trainer = self.trainer.on(problem)

    def train(self, recipe, every: int = 0):
        """Trains once; every so many steps it is evaluated.

        Returns:
            The outcome, and processor seconds of a step, evaluations left out.
        """
        self.trace(recipe)
        self.watch.start(every, recipe.ema > 0)
        outcome, spent = self._run(recipe, recipe.total_steps)
        spent -= sum(both for _, both in self.watch.seconds)
        if every and len(self.watch.rows) < recipe.total_steps // every:
            self.watch.evaluate()  # it diverged
        return outcome, spent / len(outcome.curves["loss"])

    def row(self, name: str, recipe, outcome, seconds: float) -> dict:
        """The curves and costs of a training that was just made, by the name of its recipe."""
        curves = list(zip(*self.watch.rows))
        names = "validation", "test", "validation_loss", "test_loss"
        return {
            "task": self.name,
            "recipe": name,
            "seed": self.seed,
            "steps": list(curves[0]),
            **{each: rounded(values) for each, values in zip(names, curves[1:], strict=True)},
            "seconds_per_step": float(f"{seconds:.3g}"),
            "seconds_per_evaluation": float(f"{np.median(self.watch.seconds, axis=0)[0]:.3g}"),
            "seconds_of_tracing": float(f"{self.trace(recipe):.3g}"),
            "diverged": outcome.diverged_at is not None,
        }

    def trace(self, recipe) -> float:
        """Processor seconds that the first chunk of such a recipe took: mostly tracing."""
        from kerastune.training.compiled_model import trace_key

        key = trace_key(recipe, False, False)
        if key not in self.traced:
            self.watch.start(0)
            first = recipe.replace(total_steps=CHUNK, decay_start=0, warmup_steps=0)
            self.traced[key] = self._run(first, CHUNK)[1]
        return self.traced[key]

    def _run(self, recipe, steps: int):
        from kerastune.trial import TrialSpec

        began = time.process_time()
        outcome, *_ = self.trainer.run(TrialSpec("run", "run", recipe, 0, steps))
        return outcome, time.process_time() - began


# What is recorded.


def probe(bench: Bench, base: int, family: str) -> dict:
    """Short trainings at constant rates, and the one whose loss was lowest at its end."""
    from kerastune.recipe import Recipe

    steps = recorded_recipes.probed_steps(base)
    marks = np.linspace(steps / 8, steps, 8).astype(int)
    rates, losses, seconds = recorded_recipes.RATES[family], [], 0.0
    for rate in rates:
        recipe = Recipe(optimizer=family, learning_rate=rate, decay="none", total_steps=steps)
        outcome, each = bench.train(recipe)
        seen = outcome.curves["loss"]
        seconds += each * len(seen)
        losses.append(rounded(recorded_recipes.smoothed(seen, marks)))
        if outcome.diverged_at is not None:
            losses[-1][-1] = WORST_LOSS
    best = rates[int(np.argmin([curve[-1] for curve in losses]))]
    return {"rates": rates, "steps": steps, "losses": losses, "seconds": seconds, "best": best}


def new_entry(bench: Bench) -> dict:
    """What is told of a task: its sizes, base steps and learning rates."""
    problem, task = bench.evaluations.problem, bench.task
    base = recorded_recipes.base_steps(len(problem.train))
    return {
        "group": task.group,
        "kind": task.kind,
        "network": task.network,
        "examples": [len(problem.train), len(problem.validation), len(problem.test)],
        "inputs": int(np.prod(problem.train.x.shape[1:])),
        "classes": problem.num_classes,
        "base_steps": base,
        "probes": {family: probe(bench, base, family) for family in recorded_recipes.RATES},
    }


def record(bench: Bench, entry: dict, name: str, of_base: np.ndarray | None) -> dict:
    """One run, with its curves.

    Args:
        bench: set to the seed.
        entry: of the task.
        name: of the recipe.
        of_base: scores of single validation examples at the end of the base recipe `[n]`.
    """
    rates = {family: each["best"] for family, each in entry["probes"].items()}
    recipe, every = recorded_recipes.recipe_of(
        RECIPES[name], bench.seed, entry["base_steps"], rates
    )
    outcome, seconds = bench.train(recipe, every)
    last = bench.watch.examples
    gains = last - (last if of_base is None else of_base)
    count, row = len(last) ** 0.5, bench.row(name, recipe, outcome, seconds)
    return {
        **row,
        "training_loss": rounded(recorded_recipes.smoothed(outcome.curves["loss"], row["steps"])),
        # Standard errors over validation examples, at the end: of the score, and of the gain over
        # the base recipe.
        "error": float(f"{last.std() / count:.3g}"),
        "gain_error": float(f"{gains.std() / count:.3g}"),
    }


def rounded(values) -> list[float]:
    """Five digits behind the point of every value.

    Example:
        >>> rounded([1 / 3])
        [0.33333]
    """
    return [round(float(value), 5) for value in values]


def wanted(name: str, task, seeds: list[int]) -> list[tuple[str, int]]:
    """Recipes and seeds of a task, in the order of training."""
    return [
        (recipe, seed)
        for recipe in FLAGS.recipes or RECIPES
        for seed in seeds
        if seed < task.seeds and recorded_recipes.suits(RECIPES[recipe], task)
    ]


def run_task(name: str, task, seeds: list[int], universe: dict, cache: pathlib.Path) -> int:
    """Trains what is missing of a task and adds it to the universe; gives how many runs it was."""
    done = {(run["recipe"], run["seed"]) for run in universe["runs"] if run["task"] == name}
    missing = [each for each in wanted(name, task, seeds) if each not in done]
    if not missing:
        return 0
    x, y = task.read(cache)
    bench, of_base = Bench(name, task, x, y), {}
    if name not in universe["tasks"]:
        bench.use(0)
        universe["tasks"][name] = new_entry(bench)
    entry = universe["tasks"][name]
    for recipe, seed in missing:
        bench.use(seed)
        if seed not in of_base:
            run = record(bench, entry, "base", None)
            of_base[seed] = bench.watch.examples
        if recipe != "base":
            run = record(bench, entry, recipe, of_base[seed])
        universe["runs"].append(run)
    return len(missing)


def on_one_thread() -> None:
    """Lets TensorFlow compute on one thread, so that seconds are those of one core."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def add_to(output: pathlib.Path, name: str, train: Callable[[dict], int]) -> None:
    """Trains what is missing of a task, writes it and says so.

    Args:
        output: the file.
        name: of the task.
        train: adds runs to what was recorded, and gives how many recipes or runs they are.
    """
    import keras

    recorded, began = recorded_runs.read(output), time.process_time()
    try:
        count = train(recorded)
    except recorded_tasks.Missing as reason:
        print(f"{name}: skipped, {reason}", flush=True)
        return
    if count:
        recorded_runs.write(recorded, output)
        print(f"{name}: {count} more in {time.process_time() - began:.0f} s", flush=True)
    keras.backend.clear_session()


def main(argv):
    on_one_thread()
    cache, output = pathlib.Path(FLAGS.cache), pathlib.Path(FLAGS.output)
    if FLAGS.fetch:
        recorded_tasks.fetch(cache)
    for name in set(RECIPES):
        if unknown := recorded_recipes.missing_values(RECIPES[name]):
            print(f"{name}: skipped, a recipe has no {', '.join(sorted(unknown))}", flush=True)
            del RECIPES[name]
    seeds = [int(seed) for seed in FLAGS.seeds]
    # All tasks with the first seed first, so that a part of the file is useful already.
    for each in filter(None, (seeds[:1], seeds[1:])):
        for name in FLAGS.tasks or recorded_tasks.TASKS:
            task = recorded_tasks.TASKS[name]
            add_to(output, name, lambda known: run_task(name, task, each, known, cache))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    flags.DEFINE_string("cache", os.path.expanduser("~/.cache/kerastune"), "Folder of archives.")
    flags.DEFINE_string("output", str(recorded_runs.PATH), "File that is written.")
    flags.DEFINE_boolean("fetch", True, "Download the archives that the cache does not have.")
    flags.DEFINE_list("tasks", [], "Tasks; all by default.")
    flags.DEFINE_list("recipes", [], "Recipes; all by default.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
    sys.exit(app.run(main))
