"""Help, version and the table of commands, as a user meets them."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys

import pytest

import kerastune
from kerastune.cli import command_flags, command_help, entry
from kerastune.cli.command_flags import GROUPS
from kerastune.cli.commands import COMMANDS, users_of

EVERY = [flag for group in GROUPS.values() for flag in group]


def help_of(name, capsys):
    assert entry.main([name, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_its_own_flags_only_each_with_words_and_two_examples(name, capsys):
    shown = help_of(name, capsys)
    told = re.findall(r"^  --(?:\[no\])?(\w+)", shown, re.MULTILINE)
    assert sorted(told) == sorted(set(COMMANDS[name].flags))
    assert len(shown.split("Examples:\n")[1].strip().splitlines()) == 2
    assert max(map(len, shown.splitlines())) <= 100
    assert not re.search(r"\b[PS]\d+(\.\d+)?\b", shown)  # ids of ours


def test_defaults_and_units_are_told(capsys):
    shown = help_of("tune", capsys)
    for words in ("[10m]", "[64 pixels]", "[1 layer]", "[suggested from the data]", "[on]"):
        assert words in shown
    assert "[on]" in help_of("train", capsys).split("--regularizers")[1].split("--")[0]


@pytest.mark.parametrize("flag", EVERY, ids=lambda flag: flag.name)
def test_every_flag_is_one_short_line_and_some_command_takes_it(flag):
    assert users_of(flag.name)
    assert flag.help.endswith(".") and len(flag.help) <= 160 or flag.name == "stages"
    assert flag.kind != "text" or flag.unit


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_takes_is_a_flag_once(name):
    command = COMMANDS[name]
    assert set(command.flags) <= {flag.name for flag in EVERY}
    assert len(set(command.flags)) == len(command.flags)
    assert {flag.name for flag in command.own} <= set(command.flags)
    assert set(command.titles) <= set(GROUPS)


@pytest.mark.parametrize(
    "example", [each for command in COMMANDS.values() for each in command.examples]
)
def test_examples_take_only_flags_of_their_command(example):
    words = shlex.split(example)
    name, *arguments = words[words.index("kerastune") + 1 :]
    given, _ = entry._split(arguments)
    flag_values = command_flags.parsed(given)
    present = {each for each in flag_values if flag_values[each].present}
    assert present <= set(COMMANDS[name].flags)


def test_the_overview_names_every_command(capsys):
    for arguments in ([], ["help"], ["--help"], ["-h"]):
        assert entry.main(arguments) == 0
        shown = capsys.readouterr().out
        assert shown.strip() == command_help.overview(COMMANDS.values())
        assert all(f"  {name} " in shown for name in COMMANDS)


def test_help_of_a_command_can_be_asked_for_in_two_ways(capsys):
    shown = help_of("probe", capsys)
    assert entry.main(["help", "probe"]) == 0
    assert capsys.readouterr().out == shown


def test_version(capsys):
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out == f"kerastune {kerastune.__version__}\n"


def test_an_unknown_command_is_refused_with_the_one_that_was_meant(capsys):
    assert entry.main(["tnue"]) == 2
    assert "unknown command 'tnue'; did you mean `tune`?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["tune", "--help"], ["--version"]])
def test_a_pipe_that_is_closed_ends_it_quietly(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "kerastune", *arguments], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert ended.returncode in (0, 141) and ended.stderr == b""


@pytest.mark.parametrize(
    "command, argument, users",
    [
        ("train", "--folds=3", "crossval"),
        ("probe", "--nobaseline", "tune"),
        ("status", "--data=digits", "tune"),
        ("crossval", "--budget=4m", "tune, probe"),
        ("export", "--learning_rate=0.1", "tune, probe"),
    ],
)
def test_a_flag_of_other_commands_is_refused_with_their_names(command, argument, users, capsys):
    assert entry.main([command, argument]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    name = argument.strip("-").removeprefix("no").partition("=")[0]
    assert line.startswith(f"kerastune {command}: `--{name}` is not a flag of {command}, but of")
    assert users in line


def test_flags_of_other_commands_in_a_flagfile_have_no_effect(tmp_path, monkeypatch):
    seen = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.flags").write_text("--data=digits\n--folds=3\n--seed=4\n--refit\n")
    probe = dataclasses.replace(
        COMMANDS["probe"], run=lambda flag_values, stages: seen.append(flag_values) or ()
    )
    flag_values = command_flags.flags.FlagValues()
    command_flags.define(flag_values)
    assert entry.run(probe, ["--flagfile=all.flags"], flag_values) == 0
    assert (seen[0].data, seen[0].seed, seen[0].folds, seen[0].refit) == ("digits", 4, 5, False)
