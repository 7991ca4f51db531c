"""What flags alone tell is refused at once: before TensorFlow is imported, in one line."""

import ast
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from places import ROOT

from kerastune.cli import entry, source_checks
from kerastune.models import hypermodels
from kerastune.runtime import naming
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir

SECONDS = 2
DATA = "--data=digits"
# Arguments in the folder that `folder` makes, and words of the line that refuses them.
REFUSED = [
    (["tune"], "`--data` is missing: name a data set"),
    (["tune", "--data=digit"], "did you mean `digits`?"),
    (["tune", "--data=imdb"], "texts of different lengths"),
    (["tune", "--data=gone.npz"], "There is no file gone.npz (looked in"),
    (["tune", "--data=gone.csv", "--label=y"], "There is no file gone.csv"),
    (["tune", "--data=gone"], "is not a known name, .npz, .csv, .parquet, folder or"),
    (["tune", "--data=empty"], "has no class folders"),
    (["tune", "--data=people.csv"], "`--label` is missing for people.csv: name the column"),
    (["tune", "--data=people.csv", "--label=ages"], "('ages') is not a column of people.csv"),
    (
        ["tune", "--data=people.csv", "--label=ages"],
        "one of age, city, patient, y; did you mean `age`?",
    ),
    (["tune", DATA, "--label=y"], "`--label` ('y') is for a table (.csv or .parquet)"),
    (["tune", "--data=people.csv", "--label=y", "--ignore=zip"], "`--ignore` names 'zip', no"),
    (["tune", "--data=people.csv", "--label=y", "--types=zip:text"], "`--types` names 'zip', no"),
    (["tune", "--data=people.csv", "--label=y", "--types=age"], "must be column:type, as in"),
    (["tune", "--data=people.csv", "--label=y", "--types=age:int"], "says that 'age' is 'int'"),
    (["tune", "--data=people.csv", "--label=y", "--time=y"], "other than its label"),
    (["tune", "--data=people.csv", "--label=y", "--test_data=gone.csv"], "no file gone.csv"),
    (["tune", DATA, "--test_data=people.csv"], "`--test_data` is for a table"),
    (["tune", "--data=wrong.csv", "--label=y"], "has 2 columns that can't be used. Column 'a'"),
    (["tune", "--data=wrong.csv", "--label=y"], "--types=day:d/m/y or --types=day:m/d/y"),
    (["tune", "--data=one.csv", "--label=y"], "There is only one class (no)"),
    (["tune", "--data=gone:arrays"], "`--data` ('gone:arrays'): there is no module `gone`"),
    (["tune", "--data=mine.gone:arrays"], "there is no module `mine.gone`"),
    (["tune", "--data=mine:"], "must be module:name"),
    (["tune", "--flagfile=groups.flags"], "has 2 examples, too few to split a part off"),
    (["crossval", "--flagfile=groups.flags", "--groups=age"], "is not an array of few.npz"),
    (
        ["crossval", "--data=people.csv", "--label=y", "--groups=y"],
        "must be a column of people.csv",
    ),
    (["crossval", DATA, "--groups=y"], "but the data are digits: leave it out"),
    (["crossval", DATA, "--folds=1"], "`--folds` must be at least 2, got 1"),
    (["crossval", DATA, "--repeats=0"], "`--repeats` must be at least 1, got 0"),
    (["crossval", DATA, "--flagfile=pretrained.flags"], "can't be cross-validated"),
    (["tune", DATA, "--model=mpl"], "did you mean `mlp`?"),
    (["tune", DATA, "--model=gone:build"], "`--model` ('gone:build'): there is no module"),
    (["tune", DATA, "--pretrained=gone.keras"], "('gone.keras') is not there (looked in"),
    (["tune", DATA, "--pretrained=gone:load"], "`--pretrained` ('gone:load'): there is no"),
    (["tune", DATA, "--objective=auc:max"], "write val_auc:max"),
    (["tune", DATA, "--budget=fast"], "`--budget` must be a time (90s, 4m, 1.5h)"),
    (["tune", DATA, "--budget=+10m"], "(+600s) extends a search, and a new output directory holds"),
    (["tune", DATA, "--budget=+10m", "--output_dir=new"], "and new holds none: leave the + out"),
    (["tune", DATA, "--budget=+10m", "--overwrite"], "and --overwrite deletes it"),
    (["tune", DATA, "--stages=lr,decy"], "`--stages` must be among start, probe"),
    (["tune", DATA, "--stages=train,distill"], "`--teacher` must name a .keras file"),
    (["tune", DATA, "--teacher=gone.keras"], "is for stage distill: add it to --stages"),
    (["tune", DATA, "--members=3", "--member_folds=3"], "less than `--members` (3), got 3"),
    (["tune", DATA, "--jobs=2"], "choose executor processes"),
    (["tune", DATA, "--momentum=1"], "`--momentum` must be in [0, 1), got 1.0"),
    (["tune", DATA, "--hp=units"], "`--hp` must be name=json"),
    (["tune", DATA, "--output_dir=notes"], "is not empty and not kerastune's"),
    (["tune", DATA, "--output_dir=people.csv/out"], "people.csv is a file): name another one"),
    (["tune", DATA, "--output_dir=/proc/x/out"], "can't be written (/proc: "),
    (["tune", DATA, "--output_dir=a\nb"], "`--output_dir` must end in a name of 1 to 64"),
    (["tune", "--data=tera.npz"], "holds 0 bytes; write it with `np.savez`"),
    (["tune", "--data=large.npz"], "`y` of the training part has values up to 1e+300, which"),
    (["tune", "--flagfile=binary.flags"], "`--flagfile` names a file that is no text"),
    (["tune", "--flagfile=gone.flags"], "`--flagfile` (gone.flags) is not there"),
    (["distill", DATA, "--teacher=gone.keras"], "got 'gone.keras', which is not a file"),
    (["prune", "--trained=gone"], "`--trained` (gone) holds no finished search of kerastune"),
    (["prune", DATA, "--sparsity=half"], "`--sparsity` must be fractions in [0, 1)"),
    (["prune", DATA, "--sparsity=0.5,1"], "in [0, 1), as 0.8 for 80 % zeros, got 1.0"),
    (["status"], "`--output_dir` is missing: name a search's output directory"),
    (["status", "--output_dir=gone"], "holds no study of kerastune"),
    (["report", "--output_dir=notes"], "holds no study of kerastune"),
    (["export", "--output_dir=notes"], "holds no model.keras: let `kerastune tune` finish"),
    (["export", "--output_dir=trained", "--against=notes"], "(notes) holds no exported version"),
    (
        ["export", "--output_dir=trained", "--against=notes", "--format=keras"],
        "is for --format=tf_saved_model, got 'keras'",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("here")
    (path / "people.csv").write_text("age,city,patient,y\n1,Bonn,a,2\n")
    rows = [f"{'x' if n == 3 else n},{n % 3 + 1}/{n % 5 + 1}/2024,{n % 2}" for n in range(30)]
    (path / "wrong.csv").write_text("\n".join(["a,day,y", *rows]))
    (path / "one.csv").write_text("a,y\n" + "1,no\n2,no\n" * 20)
    np.savez(path / "large.npz", x_train=np.eye(20), y_train=np.linspace(0, 1e300, 20))
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(path / "tera.npz", "w") as archive:
        for name in ("x_train.npy", "y_train.npy"):
            archive.writestr(name, b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117) + b"\n")
    (path / "binary.flags").write_bytes(bytes(range(128, 256)))
    (path / "empty").mkdir()
    (path / "notes").mkdir()
    (path / "trained").mkdir()
    (path / "trained" / "model.keras").touch()
    (path / "notes" / "my-notes.txt").write_text("mine")
    (path / "mine.py").write_text("raise RuntimeError('imported')\n")
    np.savez(path / "few.npz", x_train=np.zeros([2, 1]), y_train=np.arange(2), patient=[1, 2])
    (path / "groups.flags").write_text("--data=few.npz\n--groups=patient\n")
    (path / "pretrained.flags").write_text("--pretrained=mine:load\n")
    return path


@pytest.mark.parametrize("arguments, words", REFUSED, ids=lambda value: str(value)[:60])
def test_it_is_refused_in_one_line(arguments, words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert entry.main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"kerastune {arguments[0]}: ") and words in line
    assert sorted(folder.rglob("*")) == before


def test_all_of_it_comes_before_tensorflow_and_each_within_two_seconds(folder):
    """One process refuses them all, and never holds TensorFlow: each alone takes its start more."""
    code = (
        "import sys\nfrom kerastune.cli import entry\n"
        f"assert all(entry.main(each) == 2 for each in {[each for each, _ in REFUSED]})\n"
        "print([name for name in ('tensorflow', 'keras', 'sklearn') if name in sys.modules])"
    )
    seconds, printed = seconds_of(code, folder)
    assert ast.literal_eval(printed.splitlines()[-1]) == []
    assert seconds < len(REFUSED) * SECONDS


@pytest.mark.parametrize("number", [0, len(REFUSED) // 2, len(REFUSED) - 1])
def test_one_alone_takes_less_than_two_seconds_of_the_processor(number, folder):
    arguments = REFUSED[number][0]
    code = f"from kerastune.cli import entry\nassert entry.main({arguments}) == 2"
    assert min(seconds_of(code, folder)[0] for _ in range(2)) < SECONDS


def seconds_of(code, folder):
    """Seconds of the processor that code takes in a process of its own, and what it prints."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime, ran.stdout


@pytest.mark.parametrize(
    "name", ["mine:build", "package.part:build", "json.decoder:x", "keras.applications:ResNet50"]
)
def test_a_module_that_is_there_is_not_imported(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "package").mkdir(exist_ok=True)
    (folder / "package" / "part.py").write_text("raise RuntimeError('imported')\n")
    naming.check_module(name, "model")


def test_a_directory_that_can_not_be_written_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert entry.main(["tune", DATA, f"--output_dir={tmp_path / 'out'}"]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_a_trained_search_without_its_flags_is_refused(tmp_path, capsys):
    run_dir = RunDir(tmp_path / "out")
    run_dir.open()
    Study(run_dir.study, run_dir.lock).close()
    assert entry.main(["prune", f"--trained={run_dir.path}"]) == 2
    assert "holds no finished search" in capsys.readouterr().err


def test_the_built_in_models_are_those_that_there_are():
    assert set(source_checks.BUILT_IN_MODELS) == set(hypermodels.BUILT_IN)
