"""A search that starts from a trained model, which becomes the first trial of its study."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Sequence

from kerastune.playbook.rules import full_training
from kerastune.playbook.stages import baseline, registry
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.study import extensions
from kerastune.study.database import Record, Study
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, State

CONTENTS = "contents of the data"  # name of the setting that tells one data set from another


@dataclasses.dataclass(frozen=True)
class Trained:
    """What was trained, and on what.

    Args:
        outcome: of the trial that was chosen.
        state: its kept weights.
        contents: what `fingerprint.of_data` says of its data.
        where: its output directory.
    """

    outcome: Outcome
    state: State
    contents: str
    where: str

    @property
    def recipe(self) -> Recipe:
        """How it was trained, with as many steps as it took."""
        recipe = self.outcome.spec.recipe
        return recipe if recipe.decay != "none" else recipe.replace(total_steps=self.outcome.steps)


def read(directory: str | os.PathLike) -> Trained:
    """The chosen training of an output directory of `kerastune tune` or `train`.

    Raises:
        ValueError: when there is none, or it kept no weights.
    """
    run_dir = RunDir(directory)
    with Record(run_dir.study) as record:
        chosen = extensions.result(record).get("trial")
        outcome, state = record.outcomes().get(chosen), record.checkpoint(chosen, "best")
        # The baseline ends where it has converged, and not after a number of steps.
        is_baseline = chosen == baseline.TRIAL and outcome.example_scores is not None
        is_whole = is_baseline or full_training.is_comparable(outcome)
        if not is_whole or state is None:
            raise ValueError(
                f"`trained` ({run_dir.path}) has no finished training: let its search come to its "
                "end."
            )
        return Trained(outcome, state, record.setting(CONTENTS) or "", str(run_dir.path))


def check_stages(names: Sequence[str]) -> None:
    """Checks that stages neither tune what was trained already nor leave it out.

    Raises:
        ValueError: for other stages.

    Example:
        >>> check_stages(["train", "prune"])
    """
    following = [stage.name for stage in registry.STAGES if stage.follows_training]
    if Train.name not in names or not set(names) <= {Train.name, *following}:
        raise ValueError(
            f"`trained` is for the stages {Train.name} and after it {', '.join(following)}, "
            f"got {', '.join(names)}."
        )


def check_recipe(trained: Trained, recipe: Recipe, given: Collection[str]) -> None:
    """Checks that the values of a recipe that were given are those of what was trained.

    Raises:
        ValueError: naming the first value in which they differ.
    """
    values = recipe.to_dict()
    for name, value in trained.recipe.to_dict().items():
        if name in given and values[name] != value:
            raise ValueError(
                f"`{name}` is {values[name]!r}, but {trained.where} was trained with {value!r}: "
                "leave it out, or leave `trained` out to train anew."
            )


def take(study: Study, trained: Trained, contents: str) -> None:
    """Makes what was trained the first trial of a study that has none; else does nothing.

    Args:
        study: of the search that sets out.
        trained: as `read` gives it.
        contents: what `fingerprint.of_data` says of the data of this search.

    Raises:
        ValueError: when it was trained on other data.
    """
    if trained.contents != contents:
        raise ValueError(
            f"{trained.where} was trained on other data ({trained.contents}) than these "
            f"({contents}): give the same data, split by the same seed."
        )
    if study.outcomes():
        return
    recipe = trained.recipe
    spec = dataclasses.replace(
        trained.outcome.spec,
        trial=f"{Train.name}-{recipe.total_steps}",
        stage=Train.name,
        recipe=recipe,
        start=0,
    )
    study.add_segment(dataclasses.replace(trained.outcome, spec=spec), None, trained.state)


def starting_point(
    recipe: Recipe | None,
    given: Collection[str],
    seed: int,
    trained: str | os.PathLike | None,
    stages: Sequence[str] | None,
) -> tuple[Recipe, Trained | None]:
    """The recipe that a search starts from, and what was trained already.

    Args:
        recipe: that was given, wholly or in part.
        given: names of the values that were.
        seed: of the search.
        trained: output directory of another search.
        stages: names that were given.

    Raises:
        ValueError: when there is nothing trained, or stages or recipe do not fit it.
    """
    first = (recipe or Recipe()).replace(seed=seed)
    if not trained:
        return first, None
    found = read(trained)
    check_stages(stages or ())
    if recipe is not None:
        check_recipe(found, first, given)
    return found.recipe, found
