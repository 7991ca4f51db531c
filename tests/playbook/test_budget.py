"""Budgets: what is taken, and what is refused."""

import pytest

from kerastune.budget import Budget


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("4m", 240),
        ("1.5h", 5400),
        ("10s", 10),
        (" 2m ", 120),
        ("0.5m", 30),
        ("4 m", 240),
    ],
)
def test_a_time_is_taken_in_seconds_minutes_and_hours(text, seconds):
    assert Budget.parse(text) == Budget(seconds=seconds)


@pytest.mark.parametrize(
    "text, steps", [("1000steps", 1000), ("6000steps", 6000), ("123456789 steps", 123456789)]
)
def test_a_number_of_steps_is_taken(text, steps):
    assert Budget.parse(text) == Budget(steps=steps)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "m",
        "4min",
        "-4m",
        "4m30s",
        "1e3s",
        "infs",
        "nans",
        "6000 Steps",
        "steps",
        "0x10s",
        "4,5m",
        "4..5m",
    ],
)
def test_other_text_is_refused_with_examples_and_itself(text):
    with pytest.raises(ValueError, match="90s, 4m, 1.5h.*6000steps") as refused:
        Budget.parse(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["999steps", "0steps", "1000.5steps"])
def test_too_few_or_broken_steps_are_refused(text):
    with pytest.raises(ValueError, match=f"at least 1000 steps.*{text}"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["0s", "4.9s", "0.08m", "0h"])
def test_too_short_a_time_is_refused(text):
    with pytest.raises(ValueError, match="at least 5s"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["9" * 400 + "steps", "9" * 400 + "h"])
def test_an_absurd_number_is_refused_and_nothing_worse(text):
    with pytest.raises(ValueError):
        Budget.parse(text)


@pytest.mark.parametrize(
    "text", ["90s", "4m", "1.5h", "6000steps", "1234567s", "1234567.25s", "123456789steps"]
)
def test_the_text_of_a_budget_is_the_budget(text):
    budget = Budget.parse(text)
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    "text, budget", [("+10m", {"seconds": 600}), ("+2000steps", {"steps": 2000})]
)
def test_a_plus_is_an_extension_and_comes_back_as_text(text, budget):
    assert Budget.parse(text) == Budget(**budget, extends=True)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text) != Budget(**budget)


@pytest.mark.parametrize("text", ["+", "++10m", "+-10m", "10m+"])
def test_a_broken_plus_is_refused(text):
    with pytest.raises(ValueError, match=r"\+10m, \+2000steps"):
        Budget.parse(text)
