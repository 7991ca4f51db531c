"""Successive halving, apart from any stage."""

from kerastune.playbook.rules.successive_halving import affordable, cost, halve
from kerastune.recipe import Recipe
from kerastune.trial import TrialSpec

QUALITY = {"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}


def best(alive, rung, limit):
    return sorted(alive, key=QUALITY.get, reverse=True)[:limit]


def segment(name, steps=100):
    return TrialSpec(name, "stage", Recipe(total_steps=steps), 0, steps)


def test_the_best_go_on_until_the_last_rung_and_limits_hold_for_all_later_ones():
    asked = []

    def all_trained(alive, rung):
        asked.append((rung, len(alive)))
        return alive, []

    progress = halve(QUALITY, [100, 200, 400, 800], (4, 2), best, all_trained)
    assert progress.finalists == ["a", "b"] and progress.compared == ["a", "b"]
    assert progress.rung == 800 and progress.behind == []
    assert asked == [(200, 4), (400, 2), (800, 2)]


def test_it_stops_where_segments_are_due_or_nothing_can_go_on():
    waiting = halve(QUALITY, [100, 200], (3,), best, lambda alive, rung: (alive, [segment("b")]))
    assert waiting.finalists == ["a", "b", "c"] and waiting.rung == 100
    assert waiting.compared == list(QUALITY) and [spec.trial for spec in waiting.behind] == ["b"]
    over = halve(QUALITY, [100, 200], (3,), best, lambda alive, rung: ([], []))
    assert over.finalists == ["a", "b", "c"] and over.rung == 100 and over.behind == []


def test_as_many_go_on_as_the_allowance_holds_with_a_reserve():
    def afforded(left, least=1):
        reserve = lambda names: 10 * len(names)  # noqa: E731
        lacking = lambda name: None if name == "a" else segment(name)  # noqa: E731
        return affordable(["a", "b", "c"], least, left, lacking, reserve)

    names, specs = afforded(left=230)
    assert names == ["a", "b", "c"] and cost(specs) == 200
    assert afforded(left=229)[0] == ["a", "b"] and afforded(left=10) == (["a"], [])
    assert afforded(left=10, least=2) == ([], [])
