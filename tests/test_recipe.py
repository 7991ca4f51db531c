"""The recipe: exact round trips, and every bad value refused by name."""

import dataclasses
import json
import math

import numpy as np
import pytest
from absl import flags

from kerastune.cli import command_flags
from kerastune.recipe import Recipe

OTHER = Recipe(
    optimizer="adam",
    learning_rate=0.1 + 0.2,
    momentum=1 / 3,
    nesterov=False,
    batch_size=37,
    total_steps=123_457,
    decay="none",
    decay_start=13,
    decay_factor=0.1 + 0.2,
    weight_decay=0.1 + 0.2,
    dropout=0.1 + 0.2,
    label_smoothing=0.1 + 0.2,
    augmentation=0.1 + 0.2,
    flip=True,
    class_weights="balanced",
    layer_decay=0.1 + 0.2,
    layer_rate=("*/bias=0", "dense=1=0.1"),
    frozen=3,
    head=2,
    head_fraction=0.1 + 0.2,
    decay_interval=7,
    warmup_steps=11,
    ema=0.1 + 0.2,
    beta_2=0.1 + 0.2,
    initializers="keep",
    regularizers="on",
    seed=0,
    hyperparameters={
        "units": 128,
        "act": 'say "hi" = #1',
        "rate": 1e-300,
        "flag": False,
        "none": None,
        "ü x": "é\n",
    },
)

CHOICES = {
    field.name: field.metadata["choices"]
    for field in dataclasses.fields(Recipe)
    if field.metadata["choices"]
}


def parsed(lines):
    flag_values = flags.FlagValues()
    command_flags.define(flag_values)
    flag_values(["kerastune", *lines])
    return command_flags.recipe_of(flag_values)


def random_recipe(seed):
    generator = np.random.default_rng(seed)
    return Recipe(
        **{name: str(generator.choice(choices)) for name, choices in CHOICES.items()},
        learning_rate=float(np.exp(generator.uniform(-30, 5))),
        momentum=float(generator.uniform(0, 1)),
        nesterov=bool(generator.integers(2)),
        batch_size=int(generator.integers(1, 10**6)),
        total_steps=int(generator.integers(1, 10**9)),
        decay_start=int(generator.integers(0, 10**6)),
        decay_factor=float(generator.uniform(1e-6, 1)),
        weight_decay=float(10.0 ** generator.uniform(-9, 1)),
        dropout=None if generator.integers(2) else float(generator.uniform(0, 1)),
        label_smoothing=float(generator.uniform(0, 1)),
        augmentation=float(generator.uniform(0, 1)),
        flip=bool(generator.integers(2)),
        decay_interval=int(generator.integers(1, 10**6)),
        warmup_steps=int(generator.integers(0, 10**6)),
        ema=float(generator.uniform(0, 1)),
        beta_2=None if generator.integers(2) else float(generator.uniform(0, 1)),
        layer_decay=float(generator.uniform(0.1, 1)),
        layer_rate=[
            f"layer_{i}*={generator.random()!r}" for i in range(int(generator.integers(3)))
        ],
        frozen=int(generator.integers(100)),
        head=int(generator.integers(1, 5)),
        head_fraction=float(generator.uniform(0, 1)),
        seed=int(generator.integers(0, 2**31)),
        hyperparameters={"width": float(generator.random()), "depth": int(generator.integers(100))},
    )


RECIPES = [Recipe(), OTHER, *[random_recipe(seed) for seed in range(20)]]


def test_the_other_recipe_differs_from_the_default_everywhere():
    for field in dataclasses.fields(Recipe):
        assert getattr(OTHER, field.name) != getattr(Recipe(), field.name)


@pytest.mark.parametrize("recipe", RECIPES)
def test_json_gives_back_exactly_the_recipe(recipe):
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert "\n" not in recipe.to_json()


@pytest.mark.parametrize("recipe", RECIPES)
def test_flags_give_back_exactly_the_recipe(recipe):
    assert parsed(recipe.to_flags()) == recipe


def test_a_flagfile_gives_back_exactly_the_recipe(tmp_path):
    path = tmp_path / "best.flags"
    path.write_text("# a claim\n" + "\n".join(OTHER.to_flags()) + "\n")
    assert parsed([f"--flagfile={path}"]) == OTHER


def test_no_dropout_rate_is_written_down_and_wins_over_an_earlier_one():
    assert "--dropout=none" in Recipe().to_flags()
    assert parsed([*OTHER.to_flags(), *Recipe().to_flags()]).dropout is None
    assert parsed(["--dropout=0"]).dropout == 0.0 != parsed([]).dropout


@pytest.mark.parametrize("text", ["", "much", "None of it"])
def test_a_dropout_flag_that_is_no_number_is_refused(text):
    with pytest.raises(flags.IllegalFlagValueError, match="dropout"):
        parsed([f"--dropout={text}"])


def test_json_is_the_same_text_for_equal_recipes():
    again = Recipe.from_dict(dict(reversed(OTHER.to_dict().items())))
    assert again.to_json() == OTHER.to_json()


def test_numpy_numbers_become_plain_ones():
    recipe = Recipe(
        learning_rate=np.float64(0.1),
        momentum=np.float32(0.5),
        batch_size=np.int64(32),
        seed=np.int32(3),
    )
    assert parsed(recipe.to_flags()) == recipe == Recipe.from_json(recipe.to_json())
    assert type(recipe.learning_rate) is float and type(recipe.batch_size) is int


def test_replace_makes_another_recipe_and_checks_it():
    assert Recipe().replace(seed=5) == Recipe(seed=5)
    with pytest.raises(ValueError, match="learning_rate"):
        Recipe().replace(learning_rate=-1.0)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 3


@pytest.mark.parametrize(
    "given, meant", [("learnin_rate", "learning_rate"), ("batchsize", "batch_size")]
)
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(given, meant):
    with pytest.raises(ValueError, match=f"`{given}`.*did you mean `{meant}`"):
        Recipe.from_dict({given: 1})


def test_an_unknown_name_like_no_other_is_refused_with_the_list():
    with pytest.raises(ValueError, match="`zzz`.*optimizer, learning_rate.*hyperparameters"):
        Recipe.from_json('{"zzz": 1}')


@pytest.mark.parametrize("text", ["[]", "3", "null", '"adam"', "{", ""])
def test_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError):
        Recipe.from_json(text)


BAD = [
    *[("optimizer", value) for value in ("SGD", "newton", None, 3)],
    *[("decay", value) for value in ("Cosine", True)],
    ("class_weights", "auto"),
    ("initializers", "he"),
    *[("regularizers", value) for value in (True, "")],
    *[
        ("learning_rate", value)
        for value in (0, 0.0, -0.1, math.inf, math.nan, "0.1", None, True, 1j, [0.1])
    ],
    *[("momentum", value) for value in (-0.1, 1, 1.5, math.nan, "0.9", None, False)],
    *[("nesterov", value) for value in (1, 0, "true", None)],
    *[("batch_size", value) for value in (0, -1, 1.5, 64.0, math.nan, "64", None, True)],
    *[("total_steps", value) for value in (0, -5, 100.0, math.inf, "100", None)],
    *[("decay_start", value) for value in (-1, 1.0, "1", None, True)],
    *[("weight_decay", value) for value in (-1e-9, math.nan, math.inf, "0.5", None)],
    *[("augmentation", value) for value in (-0.1, 1, 1.5, math.nan, "0.5", None)],
    *[
        (name, value)
        for name in ("dropout", "label_smoothing")
        for value in (-0.1, 1, 1.5, math.nan, "0.5", True)
    ],
    ("label_smoothing", None),
    *[("flip", value) for value in (1, 0, "true", None)],
    *[("decay_factor", value) for value in (0, 0.0, 1, 1.5, -0.5, math.nan, "0.5", None)],
    *[("decay_interval", value) for value in (0, 1.0, "1")],
    *[("warmup_steps", value) for value in (-1, 1.0)],
    *[("ema", value) for value in (1, -0.1, "0.9")],
    *[("beta_2", value) for value in (1, -0.1)],
    *[("layer_decay", value) for value in (0, 0.0, 1.5, -0.5, math.nan, "0.5", None)],
    *[
        ("layer_rate", value)
        for value in (["dense"], ["dense=x"], ["dense=-1"], ["=0.1"], ["a=nan"], "dense=1", None)
    ],
    *[("frozen", value) for value in (-1, 1.5, "1", None)],
    *[("head", value) for value in (0, 1.5, None)],
    *[("head_fraction", value) for value in (-0.1, 1, math.nan, "0.5", None)],
    *[("seed", value) for value in (-1, 0.5, "1", None, True)],
    *[("hyperparameters", value) for value in (None, [], "units=3")],
]


@pytest.mark.parametrize("name, value", BAD)
def test_a_bad_value_is_refused_with_its_name_and_itself(name, value):
    with pytest.raises(ValueError) as refused:
        Recipe(**{name: value})
    message = str(refused.value)
    shown = value[0] if isinstance(value, list) and name == "layer_rate" else value
    assert f"`{name}`" in message and (str(shown) in message or repr(shown) in message)
    assert "\n" not in message


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_every_value_of_a_recipe_has_a_bad_one_in_these_tests(name):
    assert name in {bad for bad, _ in BAD}


@pytest.mark.parametrize(
    "name, value",
    [("seed", 0), ("momentum", 0.0), ("batch_size", 1), ("total_steps", 1), ("decay_start", 0)],
)
def test_the_ends_of_the_ranges_are_taken(name, value):
    assert getattr(Recipe(**{name: value}), name) == value


def test_an_integer_rate_is_a_rate():
    assert json.loads(Recipe(learning_rate=1).to_json())["learning_rate"] == 1.0
