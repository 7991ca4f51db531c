"""The settings of a tuner: grouped, checked once, and fixed from then on."""

import dataclasses
import inspect
import typing

import keras
import keras_tuner
import pytest

from kerastune import PlaybookTuner, Recipe
from kerastune.tuner import settings
from kerastune.tuner.idioms import further
from kerastune.tuner.settings import ExecutionSettings, StageSettings


def build(hp):
    units = hp.Int("units", 8, 16, default=8)
    return keras.Sequential([keras.Input([4]), keras.layers.Dense(units), keras.layers.Dense(2)])


def test_what_is_given_flat_is_kept_in_groups_and_can_not_be_changed(tmp_path):
    tuner = PlaybookTuner(
        build, directory=tmp_path, budget="2000steps", seed=3, members=4, keep=2, refit=True
    )
    given = tuner.settings
    assert (given.budget.steps, given.seed, given.refit, given.recipe.seed) == (2000, 3, True, 3)
    assert (given.ensemble.members, given.storage.keep) == (4, 2)
    assert given.execution == ExecutionSettings("inline", 0, "")
    assert tuner.run_dir.path == tmp_path / "playbook"
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.seed = 4


def test_some_values_of_a_recipe_are_kept_and_the_others_suggested(tmp_path):
    def made(recipe):
        return PlaybookTuner(build, directory=tmp_path, recipe=recipe).settings

    some = made({"optimizer": "lion", "batch_size": 128})
    assert (some.recipe.optimizer, some.recipe.batch_size) == ("lion", 128)
    assert some.given == {"optimizer", "batch_size"} and "start" in some.stages.names
    assert made({}).given == made(None).given == set()
    whole = made(Recipe(optimizer="lion"))
    assert "optimizer" in whole.given and "learning_rate" not in whole.given
    assert "start" not in made(Recipe(learning_rate=0.3)).stages.names
    for wrong in ("lion", 5, [1]):
        with pytest.raises(ValueError, match="`recipe` must be a Recipe or a dict"):
            made(wrong)
    with pytest.raises(ValueError, match="`optimiser` is not part of a recipe"):
        made({"optimiser": "lion"})


def test_the_first_arguments_are_those_of_keras_tuner_and_a_person_can_read_all():
    ours = list(inspect.signature(PlaybookTuner.__init__).parameters)[1:]
    theirs = list(inspect.signature(keras_tuner.RandomSearch.__init__).parameters)[1:-1]
    assert ours[: len(theirs)] == theirs
    assert ours[len(theirs) :] == [
        *("budget", "directory", "project_name", "overwrite", "recipe", "stages"),
        *("ensemble", "tta", "refit", "executor", "jobs", "further"),
    ]


def test_every_further_argument_has_a_type_for_editors_a_default_and_a_line_of_help():
    hints = typing.get_type_hints(PlaybookTuner.__init__)
    assert typing.get_args(hints["further"]) == (further.Further,)
    assert list(further.DEFAULTS) == list(further.Further.__annotations__)
    assert all(f"`{name}`" in PlaybookTuner.__doc__ for name in further.DEFAULTS)


def test_default_stages_follow_from_the_other_arguments():
    all_of_them = settings.default_stages(build, (), baseline=True, ensemble=True, tta=True)
    assert {"start", "baseline", "model", "ensemble", "tta"} <= set(all_of_them)
    assert not {"finetune", "distill", "prune"} & set(all_of_them)
    names = Recipe().to_dict()
    few = settings.default_stages(build, names, baseline=False, ensemble=False, tta=False)
    assert set(all_of_them) - set(few) == {"start", "baseline", "ensemble", "tta"}


@pytest.mark.parametrize(
    "made, words",
    [
        (lambda: StageSettings(("train", "lr"), (0.5,)), "in the order"),
        (lambda: StageSettings(("train", "distill"), (0.5,)), "`teacher` must be a trained"),
        (lambda: ExecutionSettings("inline", 2, ""), "choose executor processes"),
    ],
)
def test_every_group_checks_itself(made, words):
    with pytest.raises(ValueError, match=words):
        made()


@pytest.mark.parametrize(
    "given, words",
    [
        ({"keep": -1}, "`keep`"),
        ({"stages": ["train", "prune"], "sparsities": [1.5]}, "`sparsity` must be"),
        ({"members": 3, "member_folds": 5}, "`member_folds` must be"),
    ],
)
def test_what_a_stage_refuses_is_refused_when_the_tuner_is_made(tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        PlaybookTuner(build, directory=tmp_path, **given)
