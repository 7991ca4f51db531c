"""What `benchmark.py` compares: every contestant is a function that trains in a `Race` until its
seconds are over.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time

import keras
import keras_tuner
import numpy as np

from kerastune import PlaybookTuner
from kerastune.budget import Budget
from kerastune.models import compiling, hypermodels, output_kind, regularization, scoring
from kerastune.models.hypermodels import networks, shapes
from kerastune.objective import Objective
from kerastune.report.summaries import verdict

RATES = (1e-5, 1.0)
OPTIMIZERS = ("sgd", "adam")
BATCH_SIZES = (32, 64, 128)
MANY = 100_000  # trials; the seconds end a search
# Of targets of variance 1: a diverged trial, and a number that no surrogate model breaks on.
WORST_LOSS = 10.0


class Plain(keras_tuner.HyperModel):
    """Two Dense layers with ReLU, as wide as those of kerastune's `mlp`."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def build(self, hp):
        units = hypermodels.hidden_units(len(self.task.train))
        inputs = keras.Input(shapes.shape(self.task))
        x = keras.layers.Flatten()(inputs)
        for _ in range(2):
            x = keras.layers.Dense(units, "relu")(x)
        outputs = networks.head(x, shapes.num_outputs(self.task), self.task.kind)
        return keras.Model(inputs, outputs)


class Race:
    """One task, seed and number of seconds: the clock, and the best weights so far with the moments
    they were found.

    Args:
        task: data for all contestants.
        hypermodel: its default network is everybody's.
        epochs: most epochs of a rival's trial; a tenth of them is the patience of its early
            stopping.
        seconds: of the whole search.
        seed: of the weights and of the search.
    """

    def __init__(self, task, hypermodel, epochs: int, seconds: float, seed: int):
        self.task, self.hypermodel, self.epochs, self.seconds, self.seed = (
            task,
            hypermodel,
            epochs,
            seconds,
            seed,
        )
        self.objective = Objective(
            *(("loss", "min") if task.kind == "regression" else ("accuracy", "max"))
        )
        self.score_name = "r2" if task.kind == "regression" else "accuracy"
        self.trials = 0
        self.last = self.of_one_model = None
        keras.utils.set_random_seed(seed)
        # What one has before anything was trained; building it wakes TensorFlow up, too, before the
        # clock starts.
        self.incumbents = [(0.0, weights_of(self.build()))]
        self._best = (-math.inf, -math.inf)

    def begin(self) -> None:
        """Starts the clock; a contestant calls it when its imports are done."""
        self._began = time.monotonic()

    def spent(self) -> float:
        """Seconds since `begin`."""
        return time.monotonic() - self._began

    def is_over(self) -> bool:
        """Whether the seconds are spent."""
        return self.spent() > self.seconds

    def build(self) -> keras.Model:
        """A new network, the same for all."""
        model = self.hypermodel.build(keras_tuner.HyperParameters())
        regularization.make_dropout_tunable(
            model
        )  # as kerastune has it, so that the variables of all are the same
        return model

    def compiled(self, optimizer: str, rate: float) -> keras.Model:
        """A new network as a user of Keras compiles it."""
        made = (
            keras.optimizers.Adam(rate)
            if optimizer == "adam"
            else keras.optimizers.SGD(rate, momentum=0.9)
        )
        model = self.build()
        compiling.compile_for(model, self.task, made)
        return model

    def fit(
        self,
        model,
        batch_size: int,
        epochs: int,
        patience: int,
        callbacks=(),
        initial_epoch: int = 0,
    ) -> dict:
        """Trains a rival's trial; gives its best validation value by name, a finite one."""
        self.trials += 1
        train, validation = self.task.train, self.task.validation
        history = model.fit(
            train.x,
            train.y,
            validation_data=(validation.x, validation.y),
            batch_size=batch_size,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=[*callbacks, keras.callbacks.EarlyStopping(patience=patience), Keeper(self)],
            verbose=0,
        ).history
        name = f"val_{self.objective.name}"
        values = [value for value in history[name] if math.isfinite(value)]
        return {
            name: max(values) if self.objective.direction == "max" else min([*values, WORST_LOSS])
        }

    def offer(self, value: float, loss: float, weights) -> None:
        """Takes weights, or a function that gives them, if their validation value is the best; the
        loss breaks ties.
        """
        gain = (self.objective.gain(value), -loss)
        if gain > self._best:
            self._best = gain
            self.incumbents.append((self.spent(), weights() if callable(weights) else weights))

    def hand_over(self, figures: dict, of_one_model: dict) -> None:
        """Takes the test figures of what a contestant gives in the end, whatever came before."""
        self.last = (self.spent(), figures[self.score_name])
        self.of_one_model = of_one_model[self.score_name]

    def test_scores(self) -> list[tuple[float, float]]:
        """Moment and test score (accuracy or R2) of every incumbent; called after the race."""
        model, scored = self.build(), []
        for moment, weights in self.incumbents:
            for variable, value in zip(model.variables, weights, strict=True):
                variable.assign(value)
            outputs = output_kind.predict(model, self.task.test.x)
            found = scoring.figures(self.task, self.task.test, outputs, logits=False)
            scored.append((moment, found[self.score_name]))
        return [*scored, self.last] if self.last else scored


class Keeper(keras.callbacks.Callback):
    """Offers the weights of every epoch to the race, and stops what diverged or what the deadline
    overtook.
    """

    async_safe = (
        True  # Keras then calls it as it calls its own, and a rival pays nothing for being watched
    )

    def __init__(self, race: Race):
        super().__init__()
        self.race = race

    def on_train_batch_end(self, batch, logs=None):
        if self.race.is_over():
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        value = logs[f"val_{self.race.objective.name}"]
        self.race.offer(value, logs["val_loss"], lambda: weights_of(self.model))
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True


def weights_of(model: keras.Model) -> list[np.ndarray]:
    """Copies of everything that a model holds."""
    return [variable.numpy().copy() for variable in model.variables]


# Contestants.


def run_kerastune(race: Race) -> None:
    """As `kerastune tune` does: the baseline, the files and, where they gain, several models are
    part of its seconds.
    """
    race.begin()
    with tempfile.TemporaryDirectory() as directory:
        tuner = _Observed(
            race.hypermodel,
            budget=str(Budget(seconds=race.seconds)),
            directory=directory,
            seed=race.seed,
            tta=False,
        )
        tuner.race = race
        tuner.search(race.task, verbose=0)
    found = tuner.result
    race.hand_over(found[verdict.shown_model(found)]["test"], found["final"]["test"])


class _Observed(PlaybookTuner):
    """Offers the weights that the study holds after every segment: what would be left after an
    interruption.
    """

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        name, playbook = trial.trial_id, self.latest.playbook
        self.race.trials = len(playbook.outcomes)
        kept = playbook.outcomes[name].kept_evaluation(playbook.objective)
        if kept is not None and (state := playbook.study.checkpoint(name, "best")) is not None:
            self.race.offer(kept[self.race.objective.name], kept["loss"], state.model)


def run_defaults(race: Race) -> None:
    """Adam at 1e-3 with batches of 32 for the whole time; the weights of the best epoch."""
    race.begin()
    race.fit(race.compiled("adam", 1e-3), batch_size=32, epochs=MANY, patience=MANY)


def run_simple_rule(race: Race) -> None:
    """A range test, then SGD with Nesterov momentum, batches of 64 and a linear decay.

    Seven learning rates have at most 400 steps each, all on one compiled model; the one with the
    lowest smoothed training loss is taken. The training has 30 epochs, or what the time holds.
    """
    race.begin()
    train = race.task.train
    batch_size = min(64, len(train))
    model = race.build()
    made = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    compiling.compile_for(model, race.task, made)
    made.build(model.trainable_variables)
    first = [weights_of(model), [variable.numpy().copy() for variable in made.variables]]
    steps = min(400, 3 * -(-len(train) // batch_size))
    losses, began = {}, race.spent()
    for rate in np.geomspace(1e-3, 1.0, 7):
        losses[rate] = _ranged(model, first, race, rate, steps, batch_size)
        if race.spent() > 0.3 * race.seconds:
            break
    pace = (race.spent() - began) / (len(losses) * steps)
    _put_back(model, first)
    epoch = -(-len(train) // batch_size)
    epochs = max(min(30, int(0.85 * (race.seconds - race.spent()) / pace / epoch)), 1)
    rate = min(losses, key=losses.get)

    def decayed(at: int, _) -> float:
        return rate * (1 - at / epochs)

    schedule = keras.callbacks.LearningRateScheduler(decayed)
    race.fit(model, batch_size, epochs, MANY, [schedule])


def _ranged(model, first, race: Race, rate: float, steps: int, batch_size: int) -> float:
    """The mean training loss of the last quarter of a short training at one learning rate."""
    _put_back(model, first)
    model.optimizer.learning_rate = rate
    rows = np.random.default_rng(race.seed).integers(0, len(race.task.train), steps * batch_size)
    quarters = np.array_split(rows, 4)
    for quarter in quarters:
        x, y = (
            keras.tree.map_structure(lambda a: a[quarter], part)
            for part in (race.task.train.x, race.task.train.y)
        )
        loss = model.fit(x, y, batch_size=batch_size, epochs=1, shuffle=False, verbose=0).history[
            "loss"
        ][-1]
    return loss if math.isfinite(loss) else math.inf


def _put_back(model, values) -> None:
    for variables, arrays in zip((model.variables, model.optimizer.variables), values, strict=True):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def run_keras_tuner(race: Race, kind: str) -> None:
    """KerasTuner's `RandomSearch`, `Hyperband` or `BayesianOptimization`."""
    race.begin()
    objective = keras_tuner.Objective(f"val_{race.objective.name}", race.objective.direction)
    length = {"max_trials": MANY}
    if kind == "Hyperband":
        length = {"max_epochs": race.epochs, "hyperband_iterations": MANY}
    with tempfile.TemporaryDirectory() as directory:
        tuner = _until_over(getattr(keras_tuner, kind), race)(
            _Searched(race),
            objective=objective,
            seed=race.seed,
            directory=directory,
            max_consecutive_failed_trials=MANY,
            **length,
        )
        try:
            tuner.search(epochs=race.epochs, verbose=0)
        except _TimeIsUp:
            pass


class _TimeIsUp(Exception):
    """No further trial begins."""


def _until_over(tuner: type, race: Race) -> type:
    class UntilOver(tuner):
        def on_trial_begin(self, trial):
            if race.is_over():
                raise _TimeIsUp
            super().on_trial_begin(trial)

    return UntilOver


class _Searched(keras_tuner.HyperModel):
    """The common network with the rivals' search space."""

    def __init__(self, race: Race):
        super().__init__()
        self.race = race

    def build(self, hp):
        hp.Choice("batch_size", list(BATCH_SIZES))
        rate = hp.Float("learning_rate", *RATES, sampling="log", default=1e-3)
        return self.race.compiled(hp.Choice("optimizer", list(OPTIMIZERS)), rate)

    def fit(self, hp, model, epochs, callbacks, initial_epoch=0, verbose=0):
        patience = max(self.race.epochs // 10, 1)
        return self.race.fit(
            model, hp.get("batch_size"), epochs, patience, callbacks, initial_epoch
        )


def run_optuna(race: Race, pruner: str) -> None:
    """Optuna's TPE with `MedianPruner` or `HyperbandPruner`."""
    import optuna

    race.begin()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = f"val_{race.objective.name}"

    class Pruning(keras.callbacks.Callback):
        def __init__(self, trial):
            super().__init__()
            self.trial, self.pruned = trial, False

        def on_epoch_end(self, epoch, logs=None):
            self.trial.report(logs[name], epoch)
            if self.trial.should_prune():
                self.pruned = self.model.stop_training = True

    def objective(trial):
        keras.utils.clear_session(free_memory=False)
        rate = trial.suggest_float("learning_rate", *RATES, log=True)
        batch_size = trial.suggest_categorical("batch_size", BATCH_SIZES)
        model = race.compiled(trial.suggest_categorical("optimizer", OPTIMIZERS), rate)
        pruning = Pruning(trial)
        found = race.fit(model, batch_size, race.epochs, max(race.epochs // 10, 1), [pruning])
        if pruning.pruned:
            raise optuna.TrialPruned
        return found[name]

    pruners = {"median": optuna.pruners.MedianPruner, "hyperband": optuna.pruners.HyperbandPruner}
    study = optuna.create_study(
        direction="minimize" if race.objective.direction == "min" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=race.seed),
        pruner=pruners[pruner](),
    )
    study.optimize(objective, timeout=race.seconds)


def start(contestant: str, race: Race) -> None:
    """Runs a contestant by name, to its end."""
    logging.getLogger("kerastune").setLevel(logging.WARNING)
    if contestant == "kerastune":
        run_kerastune(race)
    elif contestant == "defaults":
        run_defaults(race)
    elif contestant == "simple_rule":
        run_simple_rule(race)
    elif contestant.startswith("optuna "):
        run_optuna(race, contestant.removeprefix("optuna "))
    else:
        run_keras_tuner(race, contestant)
