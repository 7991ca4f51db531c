"""What each command does with its flags; TensorFlow is imported inside of these functions only."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from kerastune.budget import LEAST_STEPS
from kerastune.cli import source_checks
from kerastune.cli.command_flags import DATA_FLAGS, given_values, parsed, recipe_of
from kerastune.data import new_data
from kerastune.data.finishing import Wishes
from kerastune.data.new_data import Batch
from kerastune.data.raw import Raw
from kerastune.export import versions
from kerastune.playbook.stages.distill import GRID
from kerastune.recipe import Recipe
from kerastune.runtime import environment
from kerastune.study.run_directory import RunDir

Lines = Sequence[str]  # that a command prints at its end


def search(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Runs the stages from those values of a recipe that the flags give."""
    return _search(flag_values, given_values(flag_values), stages)


def probe(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Runs the probe from those values of a recipe that the flags give, and ends with the flag to
    copy.
    """
    tuner = _searched(flag_values, given_values(flag_values), stages)
    return "", f"--learning_rate={tuner.recipe.learning_rate:.2g}"


def train(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Trains the recipe of the flags for its own steps, and runs the stages that follow."""
    recipe = recipe_of(flag_values)
    if not flag_values["budget"].present:
        # The recipe says how long to train; one more leaves room for rounding up to whole
        # evaluations.
        trainings = 1 + _trainings(flag_values, stages)
        flag_values.budget = f"{max(trainings * recipe.total_steps, LEAST_STEPS)}steps"
    return _search(flag_values, _regularized(flag_values, recipe), stages)


def _trainings(flag_values: flags.FlagValues, stages: Sequence[str]) -> int:
    further = {
        "ensemble": flag_values.members - 1,
        "prune": len(flag_values.sparsity),
        "distill": len(GRID),
    }
    return 1 + sum(further.get(name, 0) for name in stages)


def _regularized(flag_values: flags.FlagValues, recipe: Recipe) -> Recipe:
    return recipe if flag_values["regularizers"].present else recipe.replace(regularizers="on")


def crossval(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Trains the recipe of the flags on every fold."""
    environment.check()
    from kerastune.data import cross_validation_set

    raw, folded = _read(flag_values), None
    if not _is_named(flag_values):
        # What is wrong with the data is told before TensorFlow is imported.
        folded = cross_validation_set.of_raw(raw, _wishes(flag_values))
    with environment.quiet_start():
        from kerastune.cli import summary
        from kerastune.runtime import devices
        from kerastune.tuner.cross_validation import CrossValidation

        devices.set_up(flag_values.gpu_memory_growth, flag_values.precision)
    if folded is None:
        folded = cross_validation_set.of_raw(raw, _wishes(flag_values))
    output_dir = Path(flag_values.output_dir)
    crossed = CrossValidation(
        flag_values.model,
        folded,
        _regularized(flag_values, recipe_of(flag_values)),
        num_folds=flag_values.folds,
        repeats=flag_values.repeats,
        seed=flag_values.seed,
        objective=flag_values.objective,
        directory=output_dir.parent,
        project_name=output_dir.name,
        overwrite=flag_values.overwrite,
    )
    crossed.run(_told(flag_values), verbose=1 + flag_values.verbose)
    summary.show_folds(crossed)
    return ()


def export(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Writes the final model of an output directory for other programs."""
    environment.check()
    run_dir = RunDir(flag_values.output_dir)
    settings = _settings_of(run_dir, flag_values)
    with environment.quiet_start():
        from kerastune.export import from_run
        from kerastune.runtime import devices, logs

        devices.set_up(flag_values.gpu_memory_growth)
    logs.to_screen(verbose=True)
    base = Path(flag_values.export_dir or run_dir.export)
    parts = {"views": flag_values.tta, "ensemble": flag_values.ensemble}
    parts |= {"against": flag_values.against, "is_new": flag_values["data"].present > 0}
    path = from_run.release(run_dir, base, flag_values.format, settings, **parts)
    if flag_values.format != versions.SAVED_MODEL:
        return (f"Exported to {path}",)
    return f"Exported to {path}", f"How to serve it: {base / 'README.md'}"


def _settings_of(run_dir: RunDir, flag_values: flags.FlagValues) -> dict[str, Any]:
    """What a search was told of data and model: as its flagfile has it, unless it is given now."""
    files = [path for path in (run_dir.flags, run_dir.crossval_flags) if path.is_file()]
    found = parsed([f"--flagfile={path}" for path in files])
    return {
        name: values[name].value
        for name in DATA_FLAGS
        for values in (found, flag_values)
        if values[name].present
    }


def predict(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Predicts new data with the final model of a search, and writes a .csv."""
    batches = _read_ahead(flag_values)
    predictor = _predictor(flag_values)
    from kerastune.cli import predicting

    path = Path(flag_values.predictions or predictor.run_dir.new_predictions).expanduser()
    count = predicting.write(predictor, batches, path)
    return (f"{count} predictions are in {path}",)


def evaluate(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Metrics of the final model of a search on labelled data."""
    batches = _read_ahead(flag_values, is_labelled=True)
    predictor = _predictor(flag_values)
    from kerastune.inference import wording
    from kerastune.report import metric_names
    from kerastune.runtime.number_format import figure

    judged, lines = predictor.judged_batches(batches), []
    for name, each in predictor.measured(*judged).items():
        lines.append(f"{metric_names.called(name)} {figure(each['value'])}")
        if "low" in each:
            lines[-1] += f", 95 % interval {figure(each['low'])} to {figure(each['high'])}"
    rarer = predictor.rare_class(*judged)
    return [*lines, *(wording.rare_class(rarer, list(predictor.classes_)) if rarer else [])]


def _read_ahead(flag_values: flags.FlagValues, is_labelled: bool = False) -> Iterator[Batch]:
    """New data; what is wrong with them is told before TensorFlow is imported."""
    about = json.loads(RunDir(flag_values.output_dir).inputs.read_text(encoding="utf-8"))
    batches = new_data.batches(flag_values.data, about["reading"], is_labelled)
    if is_labelled and about["kind"] == "classification":
        batches = _of_known_classes(batches, about["classes"])
    return new_data.read_ahead(batches)


def _of_known_classes(batches: Iterator[Batch], classes: Sequence[str]) -> Iterator[Batch]:
    for batch in batches:
        new_data.class_numbers(batch.y, classes)
        yield batch


def _predictor(flag_values: flags.FlagValues) -> Any:
    environment.check()
    with environment.quiet_start():
        from kerastune.inference import predictor
        from kerastune.runtime import devices, logs

        devices.set_up(flag_values.gpu_memory_growth)
    logs.to_screen()
    return predictor.load(flag_values.output_dir)


def status(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Tells how a search, or a cross-validation, stands."""
    from kerastune.report import status as state

    run_dir = RunDir(flag_values.output_dir)
    if state.is_of_folds(run_dir):
        return state.lines_of_folds(run_dir)
    return state.lines(state.read(run_dir))


def report(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Writes the report anew from what is on disk."""
    from kerastune.report import writer
    from kerastune.study.database import Record

    run_dir = RunDir(flag_values.output_dir)
    with Record(run_dir.study) as record:
        is_crossval = record.setting("command") == "crossval"
        (writer.write_folds if is_crossval else writer.write)(run_dir, record)
    return str(run_dir.report), str(run_dir.report_markdown)


def why(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Answers from the study why something was chosen, or was not."""
    from kerastune.playbook import extending
    from kerastune.playbook.stages import registry
    from kerastune.report import writer
    from kerastune.report.summaries import why as reasons
    from kerastune.study import extensions
    from kerastune.study.database import Record

    with Record(RunDir(flag_values.output_dir).study) as record:
        decisions = [registry.decision(plain) for plain in record.decisions()]
        number = extensions.result(record).get("extension", 0)
        in_force = extending.in_force(decisions, extensions.built_on(record, number))
        objective, known = writer.objective_of(record), record.fact(writer.ABOUT) or {}
        measure = known.get("scored_by", objective.name)
        searched = reasons.Searched(decisions, in_force, record.outcomes(), objective, measure)
        return reasons.answer(flag_values.about, searched)


def _search(
    flag_values: flags.FlagValues, recipe: Recipe | Mapping[str, Any], stages: Sequence[str]
) -> Lines:
    tuner = _searched(flag_values, recipe, stages)
    from kerastune.cli import commands, summary

    return summary.of_search(tuner, commands.COMMANDS)


def _searched(
    flag_values: flags.FlagValues, recipe: Recipe | Mapping[str, Any], stages: Sequence[str]
):
    environment.check()
    from kerastune.data import finishing

    raw, problem = _read(flag_values), None
    if not _is_named(flag_values):
        # What is wrong with the data is told before TensorFlow is imported.
        problem = finishing.finish(raw, _wishes(flag_values))
    with environment.quiet_start():
        from kerastune.runtime import devices
        from kerastune.tuner import teachers
        from kerastune.tuner.playbook_tuner import PlaybookTuner

        notes = devices.set_up(flag_values.gpu_memory_growth, flag_values.precision)
    if problem is None:
        problem = finishing.finish(raw, _wishes(flag_values))
    problem = dataclasses.replace(problem, notes=(*notes, *problem.notes))
    hypermodel, teacher = _hypermodel(flag_values, problem), None
    if flag_values.teacher:
        plainly = {"standardize": False, "for_own_model": True}
        as_read = finishing.finish(raw, dataclasses.replace(_wishes(flag_values), **plainly))
        problem, hypermodel = teachers.of_raw_inputs(problem, as_read, hypermodel)
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
        stages=list(stages),
        refit=flag_values.refit,
        members=flag_values.members,
        member_folds=flag_values.member_folds,
        sparsities=[float(text) for text in flag_values.sparsity],
        trained=flag_values.trained or None,
        teacher=teacher,
        keep=flag_values.keep,
        executor=flag_values.executor,
        jobs=flag_values.jobs,
        ray_address=flag_values.ray_address,
        mlflow=flag_values.mlflow,
    )
    tuner.search(problem, settings=_told(flag_values), verbose=1 + flag_values.verbose)
    return tuner


def _told(flag_values: flags.FlagValues) -> dict[str, Any]:
    """The flags of data and model as plain values; a list is a text, as it is typed."""
    return {name: _typed(flag_values[name].value) for name in DATA_FLAGS}


def _typed(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(value)
    return line.getvalue()


def _read(flag_values: flags.FlagValues) -> Raw:
    """The data as they are read, and a table of what their columns became."""
    from kerastune.cli import column_table
    from kerastune.data import sources
    from kerastune.runtime import logs

    logs.to_screen(flag_values.verbose)
    raw = sources.read(flag_values.data, source_checks.asked(flag_values))
    column_table.show(raw)
    return raw


def _wishes(flag_values: flags.FlagValues) -> Wishes:
    """How the flags say that data are prepared."""
    names = ("standardize", "standardize_targets", "seed", "kind")
    values = {name: flag_values[name].value for name in names}
    is_named = _is_named(flag_values)
    own_model = bool(flag_values.pretrained) or is_named
    ask = _asking(flag_values) if is_named else None
    return Wishes(for_own_model=own_model, ask=ask, cut_test=True, **values)


def _is_named(flag_values: flags.FlagValues) -> bool:
    """Whether the model is built by a function of the user's."""
    return ":" in flag_values.model and not flag_values.pretrained


def _asking(flag_values: flags.FlagValues):
    """What tells of the targets of a user's own model."""
    from kerastune.models import hypermodels

    return hypermodels.asking(hypermodels.load(flag_values.model, None), {})


def _hypermodel(flag_values: flags.FlagValues, problem):
    from kerastune.models import hypermodels

    if flag_values.pretrained:
        return hypermodels.Pretrained(flag_values.pretrained, problem)
    # By its name, since that is what other commands go by later.
    flag_values.model = flag_values.model or hypermodels.fitting(problem)
    return hypermodels.load(flag_values.model, problem)
