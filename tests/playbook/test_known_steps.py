"""How many steps a network names, by batch size and limit of epochs."""

import dataclasses

import pytest
from fake_trainer import facts

from kerastune.models.hypermodels import built_in
from kerastune.playbook import context
from kerastune.recipe import Recipe
from kerastune.training.segment_callback import CHUNK

ADAM = Recipe("adam", decay="linear")
NAMED = facts(num_train=3000, starting_recipe={"optimizer": "adam"}, starting_steps=1400)


@pytest.mark.parametrize("batch_size, steps", [(64, 1400), (32, 2800), (128, 800), (48, 1900)])
def test_a_network_without_a_batch_size_names_epochs(batch_size, steps):
    recipe = ADAM.replace(batch_size=batch_size)
    assert NAMED.known_steps(recipe) == steps
    fewest = dataclasses.replace(NAMED, num_train=96, starting_steps=built_in.known_steps(96))
    assert fewest.known_steps(ADAM.replace(batch_size=8)) == context.FEWEST
    named = dataclasses.replace(NAMED, starting_recipe={"optimizer": "adam", "batch_size": 256})
    assert named.known_steps(recipe) == 1400


def test_there_are_none_of_another_optimizer_or_decay_or_of_what_was_given():
    for recipe in (ADAM.replace(optimizer="sgd"), ADAM.replace(decay="none")):
        assert NAMED.known_steps(recipe) == 0
    assert dataclasses.replace(NAMED, given={"learning_rate"}).known_steps(ADAM) == 0
    assert dataclasses.replace(NAMED, given={"dropout"}).known_steps(ADAM) == 1400


def test_the_constants_are_those_of_networks_and_trainer():
    assert (context.BATCH, context.FEWEST) == (built_in.BATCH, built_in.LEAST_STEPS)
    assert context.CALL == CHUNK
