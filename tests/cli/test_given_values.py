"""Values of a recipe that a user gives: by flag, flagfile or both."""

from kerastune.cli import commands
from kerastune.cli.command_flags import given_values, parsed
from kerastune.playbook.stages.start import SUGGESTIBLE
from kerastune.recipe import Recipe


def test_a_flagfile_gives_every_value_and_a_later_flag_takes_one_back(tmp_path):
    path = tmp_path / "best.flags"
    recipe = Recipe(optimizer="lion", learning_rate=3e-4, batch_size=16, label_smoothing=0.1)
    path.write_text("\n".join(recipe.to_flags()))
    values = parsed(["--data=wine", f"--flagfile={path}"])
    assert Recipe(**given_values(values)) == recipe
    assert "start" not in commands.tune_stages(values)
    values = parsed(["--data=wine", f"--flagfile={path}", "--batch_size=0"])
    assert "batch_size" not in given_values(values)
    assert "start" in commands.tune_stages(values)


def test_three_values_leave_others_to_be_suggested():
    given = ["--optimizer=adam", "--learning_rate=0.001", "--batch_size=64"]
    values = parsed(["--data=wine", *given])
    assert sorted(given_values(values)) == ["batch_size", "learning_rate", "optimizer"]
    assert "start" in commands.tune_stages(values)
    assert set(SUGGESTIBLE) > {*given_values(values)}
