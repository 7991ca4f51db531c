"""What flags alone can tell is refused at once; help shows what a command uses."""

import os
import subprocess
import sys
import time

import pytest
from places import ROOT

from kerastune.cli import command_flags, entry, flag_checks, flag_help
from kerastune.cli.commands import COMMANDS
from kerastune.models import hypermodels

TABLE = "age,income,buys\n31,20.5,yes\n44,31.0,no\n"


def refused(tmp_path, *arguments):
    """Seconds, and the one line of a command that is refused before TensorFlow is imported."""
    code = (
        "import sys; from kerastune.cli import entry; status = entry.main(sys.argv[1:]);"
        "print(status, 'tensorflow' in sys.modules)"
    )
    began = time.process_time(), os.times()
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    ended = os.times()
    seconds = ended.children_user + ended.children_system
    seconds -= began[1].children_user + began[1].children_system
    assert ran.stdout.split() == ["2", "False"], ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    return seconds, ran.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["tune", "--data=table.csv", "--label=buy"], "its columns are: age, income, buys"),
        (["tune", "--data=missing.csv", "--label=buy"], "There is no file missing.csv"),
        (["tune", "--data=digit"], "did you mean `digits`"),
        (["tune", "--data=digits", "--model=mpl"], "did you mean `mlp`"),
        (["tune", "--data=digits", "--model=nowhere:build"], "there is no module `nowhere`"),
        (["crossval", "--data=table.csv", "--label=buys", "--groups=who"], "`--groups` ('who')"),
        (["crossval", "--data=digits", "--pretrained=model.keras"], "has no use here"),
        (["prune", "--data=digits", "--trained=nowhere"], "nowhere"),
        (["tune", "--data=digits", "--output_dir=table.csv/out"], "is a file"),
        (["export"], "`--output_dir` is missing"),
        (["status", "--output_dir=nowhere"], "nowhere"),
    ],
)
def test_what_flags_alone_can_tell_is_refused_within_two_seconds(tmp_path, arguments, words):
    (tmp_path / "table.csv").write_text(TABLE)
    seconds, told = refused(tmp_path, *arguments)
    assert words in told
    assert seconds < 2


def test_the_networks_that_flags_may_name_are_those_that_there_are():
    assert flag_checks.NETWORKS == tuple(hypermodels.BUILT_IN)


def test_every_flag_is_used_by_a_command_and_every_group_has_a_heading():
    used = {name for command in COMMANDS.values() for name in command.flags}
    assert used == set(command_flags.BY_NAME)
    assert {flag.group for flag in command_flags.BY_NAME.values()} == set(flag_help.HEADINGS)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_help_shows_the_flags_of_the_command_alone(command):
    shown = flag_help.of_command(command)
    for name, flag in command_flags.BY_NAME.items():
        start = f"--[no]{name}" if flag.kind == "bool" else f"--{name}="
        assert (f"  {start}" in shown.partition("Examples:")[0]) == (name in command.flags)
    assert shown.count(f"kerastune {command.name} ") >= 2


def test_a_flagfile_may_hold_flags_that_the_command_does_not_use(tmp_path, capsys):
    (tmp_path / "some.flags").write_text("--folds=3\n--learning_rate=0.1\n")
    assert entry.main(["status", f"--flagfile={tmp_path / 'some.flags'}"]) == 2
    assert "`--output_dir` is missing" in capsys.readouterr().err


def test_version_and_a_closed_pipe(capsys):
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kerastune 0.")
    shell = f"{sys.executable} -m kerastune tune --help | head -1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.splitlines()[1] in ("0", "141") and ran.stderr == ""
