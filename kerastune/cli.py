"""The door: flags, commands and what they print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from kerastune import environment, publishing, rundirs
from kerastune.budget import LEAST_STEPS, Budget
from kerastune.recipe import CHOICES, Recipe
from kerastune.stages import order
from kerastune.stages.distil import EXTRA_TRAININGS, GRID
from kerastune.stages.ensemble import MEMBERS
from kerastune.stages.prune import SPARSITIES

COMMANDS = {
    "tune": "find learning rate and number of steps for a model and data, and train it",
    "probe": "suggest a learning rate from 60 batches (S1.7)",
    "train": "train the recipe of a flagfile",
    "ensemble": "train the recipe of a flagfile with several seeds, and combine them where that helps",
    "prune": "set the smallest weights of a trained model to zero, as many as validation allows",
    "distil": "train the recipe of a flagfile with a teacher, and keep that where it helps",
    "export": "write what was tuned as TensorFlow Serving, or another runtime, takes it",
    "report": "write report.html and report.md of a search anew, from what is in --output_dir",
}
KINDS = ("", "classification", "regression")
AUTO = 0  # of `--batch_size`: suggested from the data (P7)
DATA_FLAGS = ("data", "label", "kind", "image_size", "standardise", "model", "precision", "objective")


class OptionalFloat(flags.FloatParser):
    """Reads a number, or `none`: a value that is none is written down too, since later flags win over earlier ones."""

    syntactic_help = "a number or none"

    def convert(self, argument):
        return None if argument == "none" else super().convert(argument)


def define(flag_values: flags.FlagValues) -> None:
    """Defines every flag of every command, so that any flagfile is read everywhere; later ones win (P4)."""
    values = {"flag_values": flag_values}
    flags.DEFINE_string("data", "digits", "Data set name, file.npz, file.csv, folder or module:function.", **values)
    flags.DEFINE_string("label", "", "Name of the target column of a .csv.", **values)
    flags.DEFINE_enum("kind", "", KINDS, "What is learnt; by default the targets tell.", **values)
    flags.DEFINE_integer("image_size", 64, "Height and width of images in folders, in pixels.", 1, **values)
    flags.DEFINE_bool("standardise", None, "Standardise inputs; by default for the built-in models only.", **values)
    flags.DEFINE_string("model", "cnn", "mlp, cnn, resnet, or module:name of a build(hp) or HyperModel.", **values)
    flags.DEFINE_string("output_dir", "", "Where everything goes; a new directory by default.", **values)
    flags.DEFINE_bool("overwrite", False, "Begin anew in an output directory of kerastune's.", **values)
    flags.DEFINE_string("budget", "10m", "Time (90s, 4m, 1h) or steps (6000steps) of the whole search.", **values)
    flags.DEFINE_string("objective", "", "Validation value that chooses, as val_accuracy:max.", **values)
    flags.DEFINE_list("stages", [], f"Only these of {', '.join(order.ORDER)}; by default all that apply.", **values)
    flags.DEFINE_bool("reference", True, "Train Adam at 1e-3 with batches of 32 to compare with.", **values)
    flags.DEFINE_bool("ensemble", True, "Look for an ensemble that beats the single model.", **values)
    flags.DEFINE_bool("tta", True, "Average over views of an example where that helps.", **values)
    flags.DEFINE_integer("members", MEMBERS, "Most models in an ensemble.", 2, **values)
    flags.DEFINE_list("sparsity", [f"{each:g}" for each in SPARSITIES], "Shares of zeros that prune tries.", **values)
    flags.DEFINE_string("teacher", "", "A .keras model of the same data, that distil learns from.", **values)
    flags.DEFINE_string("trained", "", "Output directory whose model prune takes; else it trains one.", **values)
    flags.DEFINE_bool("refit", False, "Train once more on training and validation data at the end.", **values)
    flags.DEFINE_string("export_dir", "", "Where exported models go; export/ in the output directory.", **values)
    flags.DEFINE_enum("format", publishing.SAVED_MODEL, list(publishing.ENDINGS), "What to export as.", **values)
    flags.DEFINE_bool("gpu_memory_growth", True, "Let a GPU's memory grow as needed (P5).", **values)
    flags.DEFINE_enum("precision", "float32", environment.PRECISIONS, "What layers compute in.", **values)
    define_recipe(flag_values)


def define_recipe(flag_values: flags.FlagValues) -> None:
    """Defines the flags of a recipe, with the recipe's own defaults."""
    values = {"flag_values": flag_values}
    default = Recipe()
    flags.DEFINE_enum("optimizer", default.optimizer, CHOICES["optimizer"], "Optimizer.", **values)
    flags.DEFINE_float("learning_rate", default.learning_rate, "Rate of the first step; tune finds it.", **values)
    flags.DEFINE_float("momentum", default.momentum, "Momentum of SGD.", 0.0, **values)
    flags.DEFINE_bool("nesterov", default.nesterov, "Nesterov momentum of SGD.", **values)
    flags.DEFINE_integer("batch_size", AUTO, "Examples in a step; 0 suggests one from the data (P7).", 0, **values)
    flags.DEFINE_integer("total_steps", default.total_steps, "Steps of the training; tune finds it.", 1, **values)
    flags.DEFINE_enum("decay", default.decay, CHOICES["decay"], "How the rate falls.", **values)
    flags.DEFINE_integer("decay_start", default.decay_start, "Step from which the rate falls.", 0, **values)
    flags.DEFINE_float("decay_factor", default.decay_factor, "Of each drop of an exponential decay.", **values)
    flags.DEFINE_integer("decay_interval", default.decay_interval, "Steps between changes of the rate.", 1, **values)
    flags.DEFINE_enum("initialisers", default.initialisers, CHOICES["initialisers"], "By activation (P8).", **values)
    flags.DEFINE_enum("regularisers", default.regularisers, CHOICES["regularisers"], "Off while tuning (P6).", **values)
    flags.DEFINE_float("weight_decay", default.weight_decay, "Decoupled, of kernels; tune finds it.", 0.0, **values)
    flags.DEFINE(
        OptionalFloat(), "dropout", default.dropout, "Rate of Dropout layers; none: as the model has it.", **values
    )
    flags.DEFINE_float("label_smoothing", default.label_smoothing, "Of classes; tune finds it.", 0.0, **values)
    flags.DEFINE_float(
        "augmentation", default.augmentation, "Strength of shifts or noise; tune finds it.", 0.0, **values
    )
    flags.DEFINE_bool("flip", default.flip, "Flip images from left to right; tune finds it.", **values)
    flags.DEFINE_enum(
        "class_weights", default.class_weights, CHOICES["class_weights"], "In the loss; tune finds it (P7).", **values
    )
    flags.DEFINE_integer("seed", default.seed, "Of weights, batches and splits.", 0, **values)
    flags.DEFINE_multi_string("hp", [], "A hyperparameter of the model: name=json, repeatable.", **values)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0, 2 for what the user must mend, 130 or 143 when it was stopped."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    flag_values = flags.FlagValues()
    define(flag_values)
    if not arguments or arguments[0] in ("help", "--help", "-h") or arguments[0] not in COMMANDS:
        return _usage(arguments)
    command, rest = arguments[0], arguments[1:]
    if any(argument in ("--help", "-h", "-help", "--helpfull") for argument in rest):
        print(f"kerastune {command}: {COMMANDS[command]}\n\n{flag_values.get_help()}".rstrip())
        return 0
    try:
        return run(command, rest, flag_values)
    except KeyboardInterrupt:
        return _stopped(128 + signal.SIGINT, flag_values.output_dir)
    except Terminated:
        return _stopped(128 + signal.SIGTERM, flag_values.output_dir)
    except (flags.Error, ValueError, OSError, ImportError) as error:
        if not isinstance(error, (flags.Error, OSError)) and not _is_ours(error):
            traceback.print_exception(error)  # of the user's own code, or of a library under it
        print(f"kerastune {command}: {error}", file=sys.stderr)
        if flag_values.is_parsed() and flag_values.output_dir and not flag_values["output_dir"].present:
            with contextlib.suppress(OSError):
                os.rmdir(flag_values.output_dir)  # made for this run; it stays when something is in it
        return 2


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by kerastune itself, whose message then says all."""
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(where).is_relative_to(Path(__file__).parent)


class Terminated(BaseException):
    """SIGTERM arrived."""


def run(command: str, arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Parses the flags and runs a command.

    Raises:
        absl.flags.Error: for an unknown flag or a value that it does not take.
        ValueError: for settings or data that can't be used.
    """
    surplus = flag_values(["kerastune", *_flags_of_trained(arguments), *arguments])[1:]
    if surplus:
        raise ValueError(f"{surplus[0]!r} is not a flag; flags begin with --, as in --data=digits.")
    if command == "report":
        return report(flag_values)
    recipe = recipe_of(flag_values)
    Budget.parse(flag_values.budget)
    order.check(flag_values.stages)
    if command == "export" and not flag_values.output_dir:
        raise ValueError("`--output_dir` must name the directory that `kerastune tune` has written.")
    output_dir = Path(flag_values.output_dir or rundirs.new()).resolve()
    if not rundirs.NAME.fullmatch(output_dir.name):
        raise ValueError(f"`output_dir` must end in 1 to 64 letters, digits, `.`, `_` or `-`, got {str(output_dir)!r}.")
    flag_values.output_dir = str(output_dir)
    signal.signal(signal.SIGTERM, _terminate)
    started = (tune, probe, train, ensemble, distil, prune, export)
    return {each.__name__: each for each in started}[command](flag_values, recipe)


def recipe_of(flag_values: flags.FlagValues) -> Recipe:
    """The recipe that the flags describe; `--batch_size=0` counts as the default until it is suggested."""
    names = [name for name in Recipe().to_dict() if name != "hyperparameters"]
    values = {name: flag_values[name].value for name in names}
    values["batch_size"] = values["batch_size"] or Recipe().batch_size
    return Recipe(**values, hyperparameters=_hyperparameters(flag_values.hp))


def tune(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune tune`."""
    return _search(flag_values, recipe, flag_values.stages or _default_stages(flag_values))


def probe(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune probe`."""
    return _search(flag_values, recipe, [name for name in _default_stages(flag_values) if name in ("start", "probe")])


def train(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune train`."""
    return _train_given(flag_values, recipe, ["train"], trainings=1)


def ensemble(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune ensemble`."""
    return _train_given(flag_values, recipe, ["train", "ensemble"], trainings=flag_values.members)


def prune(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune prune`."""
    return _train_given(flag_values, recipe, ["train", "prune"], trainings=1 + len(flag_values.sparsity))


def distil(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune distil`."""
    if not os.path.isfile(flag_values.teacher):
        raise ValueError(f"`--teacher` must name a .keras model, got {flag_values.teacher!r}, which is no file.")
    return _train_given(flag_values, recipe, ["train", "distil"], trainings=1 + len(GRID) + EXTRA_TRAININGS)


def _flags_of_trained(arguments: Sequence[str]) -> list[str]:
    """The flagfile of the output directory that `--trained` names; flags that are given win over it."""
    asked = flags.FlagValues()
    define(asked)
    asked(["kerastune", *arguments])
    return [f"--flagfile={rundirs.RunDir(asked.trained).flags}"] if asked.trained else []


def _train_given(flag_values: flags.FlagValues, recipe: Recipe, stages: list[str], trainings: int) -> int:
    if not flag_values["budget"].present:
        # The recipe says how long to train; one more leaves room for rounding up to whole evaluations.
        flag_values.budget = f"{max((trainings + 1) * recipe.total_steps, LEAST_STEPS)}steps"
    if not flag_values["regularisers"].present:
        recipe = recipe.replace(regularisers="on")
    return _search(flag_values, recipe, stages)


def export(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune export`."""
    environment.check()
    run_dir = rundirs.RunDir(flag_values.output_dir)
    settings = _settings_of(run_dir, flag_values)
    with _quiet_start():
        from kerastune import logs, release, runtime

        runtime.set_up(flag_values.gpu_memory_growth)
    logs.to_screen()
    base = Path(flag_values.export_dir or run_dir.export)
    path = release.release(run_dir, base, flag_values.format, settings)
    print(f"Exported to {path}")
    if flag_values.format == publishing.SAVED_MODEL:
        print(f"How to serve and ask it: {base / 'README.md'}")
    return 0


def _settings_of(run_dir: rundirs.RunDir, flag_values: flags.FlagValues) -> dict[str, Any]:
    """What a search was told of data and model: as its flagfile has it, unless it is given now."""
    found = flags.FlagValues()
    define(found)
    found(["kerastune", *([f"--flagfile={run_dir.flags}"] if run_dir.flags.is_file() else [])])
    sources = (flag_values, found)
    return {name: values[name].value for name in DATA_FLAGS for values in sources[::-1] if values[name].present}


def report(flag_values: flags.FlagValues) -> int:
    """`kerastune report`."""
    if not flag_values.output_dir:
        raise ValueError("`--output_dir` must name the output directory of a search.")
    from kerastune import reporting
    from kerastune.study import Record

    run_dir = rundirs.RunDir(Path(flag_values.output_dir).resolve())
    with Record(run_dir.study) as record:
        reporting.write(run_dir, record)
    print(f"{run_dir.report}\n{run_dir.report_markdown}")
    return 0


def _default_stages(flag_values: flags.FlagValues) -> list[str]:
    wanted = {
        "start": flag_values.batch_size == AUTO,
        "reference": flag_values.reference,
        # The size of a built-in network is searched only where --stages names it.
        "model": ":" in flag_values.model,
        "ensemble": flag_values.ensemble,
        "tta": flag_values.tta,
    }
    return [name for name in order.ORDER if wanted.get(name, True)]


def _search(flag_values: flags.FlagValues, recipe: Recipe, stages: list[str]) -> int:
    environment.check()
    with _quiet_start():
        from kerastune import data, hypermodels, logs, runtime, summary, teachers
        from kerastune.tuner import PlaybookTuner

        notes = runtime.set_up(flag_values.gpu_memory_growth, flag_values.precision)
    logs.to_screen()
    own_model = ":" in flag_values.model
    given = {name: flag_values[name].value for name in ("label", "image_size", "seed", "kind")}
    task = data.load(flag_values.data, standardise=flag_values.standardise, for_own_model=own_model, **given)
    task = dataclasses.replace(task, notes=(*notes, *task.notes))
    hypermodel, teacher = hypermodels.load(flag_values.model, task), None
    if flag_values.teacher:
        raw = data.load(flag_values.data, standardise=False, for_own_model=True, **given)
        task, hypermodel = teachers.of_raw_inputs(task, raw, hypermodel)
        teacher = teachers.load(flag_values.teacher)
    output_dir = Path(flag_values.output_dir)
    tuner = PlaybookTuner(
        hypermodel,
        objective=flag_values.objective,
        budget=flag_values.budget,
        directory=output_dir.parent,
        project_name=output_dir.name,
        seed=flag_values.seed,
        overwrite=flag_values.overwrite,
        recipe=recipe,
        stages=stages,
        refit=flag_values.refit,
        members=flag_values.members,
        sparsities=_sparsities(flag_values.sparsity),
        trained=flag_values.trained or None,
        teacher=teacher,
    )
    tuner.search(task, settings={name: flag_values[name].value for name in DATA_FLAGS})
    summary.show(tuner)
    return 0


def _sparsities(given: Sequence[str]) -> list[float]:
    try:
        return [float(text) for text in given]
    except ValueError:
        shown = ",".join(given)
        raise ValueError(f"`--sparsity` must be shares in [0, 1), as in 0.5,0.8,0.9, got {shown!r}.") from None


def _hyperparameters(given: Sequence[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"`--hp` must be name=json, as in --hp=units=128, got {text!r}.")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError(
                f"`--hp={name}` must be JSON, as in --hp={name}=128 or --hp={name}='\"relu\"', got {value!r}."
            )
    return found


@contextlib.contextmanager
def _quiet_start():
    """Keeps what TensorFlow's C++ code prints while it starts off the screen, unless it fails to start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(screen, held.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def _usage(arguments: list[str]) -> int:
    unknown = bool(arguments) and arguments[0] not in ("help", "--help", "-h")
    lines = [f"kerastune: there is no command {arguments[0]!r}.", ""] if unknown else []
    lines += ["usage: kerastune COMMAND [--flag=value ...] [--flagfile=FILE]", "", "commands:"]
    lines += [f"  {name:10}{words}" for name, words in COMMANDS.items()]
    lines += ["", "kerastune COMMAND --help lists the flags."]
    print("\n".join(lines), file=sys.stderr if unknown else sys.stdout)
    return 2 if unknown else 0


def _terminate(number, frame):
    raise Terminated


def _stopped(status: int, output_dir: str) -> int:
    words = f"kerastune was stopped; the same command with --output_dir={output_dir} goes on from here."
    print(f"\n{words}", file=sys.stderr)
    sys.stderr.flush()
    # TensorFlow's threads are still at work, and nothing is left to write.
    os._exit(status)
