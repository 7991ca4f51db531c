"""What a user names is found, or what was meant is said."""

import pytest

from kerastune.runtime import naming


def test_a_module_in_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "named_by_me.py").write_text("answer = 42\n")
    monkeypatch.chdir(tmp_path)
    assert naming.imported("named_by_me:answer", "model") == 42


@pytest.mark.parametrize(
    "name, words",
    [
        (":build", "model `:build` has no module"),
        (".relative:build", "has no module"),
        ("no_such_module:build", "there is no module `no_such_module`"),
        ("math:sine", "module `math` has no `sine`; did you mean `sin`?"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(name, words):
    with pytest.raises(ValueError, match=words):
        naming.imported(name, "model")


def test_a_hint_is_given_only_when_something_is_near():
    assert naming.did_you_mean("digit", ["digits", "wine"]) == "; did you mean `digits`?"
    assert naming.did_you_mean("zzz", ["digits", "wine"]) == ""
