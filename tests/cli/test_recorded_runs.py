"""Recorded runs: what is recorded, what an engine sees of it, and how engines are played."""

import sys

import numpy as np
import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "runs"))

import recorded_recipes  # noqa: E402
import recorded_runs  # noqa: E402
import replay  # noqa: E402
import replay_contestants  # noqa: E402
import replay_priors  # noqa: E402
from recorded_runs import Choice, Records  # noqa: E402


def a_run(task, recipe, seed, gain, steps=800, base=0.8):
    """A run whose score rises by as much on the way as it gains at the end."""
    marks = list(range(steps // 8, steps + 1, steps // 8))
    test = [base + gain - 0.05 * (1 - mark / steps) for mark in marks]
    noise = 0.01 * ((hash_of(task, recipe, seed) % 7) - 3) / 3
    return {
        "task": task,
        "recipe": recipe,
        "seed": seed,
        "steps": marks,
        "validation": [score + noise for score in test],
        "test": test,
        "validation_loss": [1.0 - score for score in test],
        "test_loss": [1.0 - score for score in test],
        "training_loss": [1.0 - score for score in test],
        "error": 0.02,
        "gain_error": 0.0 if recipe == "base" else 0.01,
        "seconds_per_step": 0.001,
        "seconds_per_evaluation": 0.0,
        "seconds_of_tracing": 1.0,
        "diverged": False,
    }


def hash_of(*values):
    return sum(ord(letter) * (i + 1) for i, letter in enumerate("".join(map(str, values))))


GAINS = {
    "base": 0.0,
    "length x1/4": -0.02,
    "length x3": 0.01,
    "adam": -0.01,
    "keras defaults": -0.03,
    "smoothing": 0.03,
    "dropout .1": 0.005,
    "constant": -0.04,
}
STEPS = {"length x1/4": 200, "length x3": 2400, "keras defaults": 3200}


def a_universe(tasks=5, seeds=2):
    entry = {
        "group": "table",
        "kind": "classification",
        "network": "mlp",
        "examples": [4000, 200, 200],
        "base_steps": 800,
        "probes": {family: {"seconds": 0.3} for family in ("sgd", "adam")},
    }
    names = [f"task {i}" for i in range(tasks)]
    runs = [
        a_run(name, recipe, seed, gain, STEPS.get(recipe, 800))
        for name in names
        for recipe, gain in GAINS.items()
        for seed in range(seeds)
    ]
    return {"tasks": dict.fromkeys(names, entry), "runs": runs}


OWN_GAINS = {"base": 0.0, "length x1/4": -0.01, "smoothing": 0.01, "keras defaults": -0.02}


def some_folds(tasks=5, bag=0.02):
    """Folds of the present networks, whose bags gain as much with every recipe."""
    names = [f"task {i}" for i in range(tasks)]
    entry = a_universe()["tasks"]["task 0"]
    entry = {**entry, "former_seconds_per_step": 0.002, "examples": [1500, 200, 200]}
    runs = [
        a_run(name, recipe, seed, gain, 400 if "1/4" in recipe else 800)
        for name in names
        for recipe, gain in OWN_GAINS.items()
        for seed in range(1, 6)
    ]
    bags = [
        {
            "task": name,
            "recipe": recipe,
            "test": 0.8 + gain + bag,
            "error": 0.02,
            "gain_error": 0.01,
        }
        for name in names
        for recipe, gain in OWN_GAINS.items()
    ]
    return {"tasks": dict.fromkeys(names, entry), "runs": runs, "bags": bags}


@pytest.fixture
def worlds():
    return recorded_runs.worlds(a_universe(), recorded_recipes.RECIPES)


@pytest.fixture
def own(worlds):
    return recorded_runs.own_worlds(some_folds(), worlds)


def test_an_engine_pays_what_was_recorded_once_and_is_stopped_at_the_end_of_its_budget(worlds):
    records = Records(worlds[0], 0, seconds=1.5)
    assert records.cost("base") == pytest.approx(0.3 + 0.8)  # with the probe of its optimizer
    assert len(records.curve("base", step=400).steps) == 4
    assert records.spent == pytest.approx(0.3 + 0.4)
    assert records.curve("base").is_whole and records.spent == pytest.approx(0.3 + 0.8)
    records.curve("base")
    assert records.spent == pytest.approx(1.1)
    cut = records.curve("smoothing")
    assert not cut.is_whole and list(cut.steps) == [100, 200, 300, 400]
    assert records.left == pytest.approx(0)
    with pytest.raises(ValueError, match="not paid for"):
        records.tested(Choice("smoothing", 0, 500))
    assert records.tested(Choice("smoothing", 0, 400)) == pytest.approx(0.8 + 0.03 - 0.025)


def test_a_run_keeps_its_best_evaluation():
    run = a_run("a", "base", 0, 0.0) | {"validation": [0.5, 0.9, 0.6, 0.9, 0.1, 0.2, 0.3, 0.4]}
    run["validation_loss"][3] = 0.01  # among equals the lower loss
    assert recorded_runs.kept(run) == 3
    assert recorded_runs.kept(run, until=250) == 1


def test_regret_is_0_at_the_best_recipe_and_1_at_the_median(worlds, own):
    def score(recipe):
        def engine(records, rng):
            return replay_contestants.returned(records, recipe)

        return replay.play(worlds[0], engine, 16 * worlds[0].base_seconds, 1)

    scores = np.array([[score("smoothing"), score("base")]])
    # Parts of runs are left out, and the best is a bag.
    middle = np.median([*(worlds[0].finals[r] for r in GAINS), *own[0].finals.values()])
    expected = [[0, (0.83 - 0.8) / (0.83 - middle)]]
    pairs = replay.paired(worlds, own)[:1]
    assert replay.regrets(pairs, scores) == pytest.approx(np.array(expected))
    # Above Keras's defaults, which reach 0.77.
    assert replay.points(worlds[:1], scores) == pytest.approx(np.array([[5, 3]]))


def test_every_contestant_stays_within_its_budget_and_returns_what_it_paid_for(worlds):
    for name, (engine, _) in replay.contestants(worlds, worlds[0]).items():
        for budget in replay.BUDGETS:
            records = Records(worlds[0], 0, budget * worlds[0].base_seconds)
            records.tested(engine(records, np.random.default_rng(1)))
            assert records.left > -1e-9 or budget == 1, name


def test_priors_are_of_the_other_tasks_and_the_expected_value_follows_them(worlds):
    fitted = replay_priors.priors(worlds[1:], "table")
    assert fitted["smoothing"].mean == pytest.approx(0.03)
    assert fitted["smoothing"].std < 0.006  # all tasks gain the same
    engine = replay_contestants.ExpectedValue(replay_priors.believed(worlds[1:], "table"))
    records = Records(worlds[0], 0, 1.2)
    assert engine(records, None).recipe == "smoothing"  # one training fits: the best prior


def test_a_part_of_a_run_at_a_constant_rate_is_a_recipe_of_its_own_and_costs_its_part(worlds):
    records = Records(worlds[0], 0, 10.0)
    part = "keras defaults, 1/4"
    assert part not in records.recipes and part in records.recipes_and_parts
    assert records.cost(part) == pytest.approx(records.cost("keras defaults") / 4)
    assert worlds[0].finals[part] < worlds[0].finals["keras defaults"]


def test_what_is_believed_of_a_gain_follows_the_prior_where_scores_are_noisy():
    def believed(error):
        belief = replay_contestants.Shrunk(dict.fromkeys("ab", (0.0, 0.01)))
        for recipe, score in (("a", 0.9), ("b", 0.94)):
            curve = recorded_runs.Curve(None, None, None, None, error, error, 0, True)
            belief.add(recipe, score, curve)
        mean, _ = belief.gains()
        assert mean["b"] == pytest.approx(-mean["a"])  # what both share is nobody's gain
        return mean["b"] - mean["a"]

    assert believed(0.01) == pytest.approx(0.02)  # as much noise as spread
    assert believed(1e-4) == pytest.approx(0.04, rel=0.01)
    assert believed(0.03) == pytest.approx(0.004, rel=0.01)  # 9 times the variance


def test_kerastune_begins_with_the_recipe_of_the_network_and_ends_with_a_bag_where_it_fits(own):
    engine = replay_contestants.Kerastune()

    def choice(seconds):
        records = Records(own[0], 1, seconds)
        found = engine(records, None)
        return found, records.tested(found), records

    # A training takes .8 s; where that is too long, a shorter one.
    found, score, _ = choice(0.5)
    assert (found.recipe, found.is_bag, score) == ("length x1/4", False, pytest.approx(0.79))
    assert (choice(0.9)[0].recipe, choice(2.3)[0].is_bag) == ("base", False)
    # Five shorter ones and a single model.
    assert (choice(2.5)[0].recipe, choice(2.5)[0].is_bag) == ("length x1/4", True)
    found, score, records = choice(20.0)
    assert (found.recipe, found.is_bag, score) == ("base", True, pytest.approx(0.82))
    assert records.spent <= 20.0


def test_gains_that_differ_by_no_more_than_their_errors_have_little_spread_of_their_own():
    gains = np.array([0.01, 0.05] * 10)
    noisy, sure = (replay_priors.fitted(gains, np.full(20, e), np.ones(20)) for e in (0.02, 0.001))
    assert noisy[1] < 0.01 < 0.018 < sure[1] < 0.022
    assert noisy[0] == pytest.approx(0.03) and sure[0] == pytest.approx(0.03)


def test_a_prior_is_told_by_tasks_of_the_same_kind_and_size():
    universe = a_universe()
    entries = universe["tasks"]
    for number, name in enumerate(entries):
        small = {"examples": [400, 200, 200]} if number else {}
        entries[name] = {**entries[name], **small}
    for run in universe["runs"]:
        if run["task"] == "task 0" and run["recipe"] == "dropout .1":  # the only large task
            run["test"] = [score - 0.04 for score in run["test"]]
    worlds = recorded_runs.worlds(universe, recorded_recipes.RECIPES)
    assert [world.data for world in worlds[:2]] == ["table", "table, small"]
    large, small = (replay_priors.priors(worlds, data) for data in ("table", "table, small"))
    assert large["dropout .1"].mean < -0.015 and small["dropout .1"].mean > 0


def test_the_expected_value_does_not_follow_a_score_that_is_mostly_noise():
    universe = a_universe()
    for run in universe["runs"]:
        if run["task"] == "task 0" and run["recipe"] == "constant":
            run["validation"] = [score + 0.12 for score in run["validation"]]
        run["gain_error"] *= 5
    worlds = recorded_runs.worlds(universe, recorded_recipes.RECIPES)
    engine = replay_contestants.ExpectedValue(replay_priors.believed(worlds[1:], "table"))
    assert engine(Records(worlds[0], 0, 100.0), None).recipe == "smoothing"
    assert (
        replay_contestants.random_search(
            Records(worlds[0], 0, 100.0), np.random.default_rng(1)
        ).recipe
        == "constant"
    )  # by the score alone


def test_the_file_of_priors_tells_means_of_every_recipe_by_kind(worlds, own):
    told = replay.priors_file(worlds, own)
    assert set(told["gains"]["smoothing"]) == {"table", "table, small", "other", "other, small"}
    assert told["seed_std"]["table"] == 0.0  # the same test score with every seed
    one_seed = recorded_runs.worlds(a_universe(seeds=1), recorded_recipes.RECIPES)
    assert replay.priors_file(one_seed, own)["seed_std"] == {}
    assert told["gains"]["smoothing"]["table"] == {"mean": 0.03, "std": 0.00474, "tasks": 5}
    assert told["changes"]["smoothing"] == {"label_smoothing": 0.1}
    # Gains over Adam are of what Adam trained.
    of_adam = told["gains_of"]["adam"]
    assert {told["changes"][name]["optimizer"] for name in of_adam} == {"adam"}
    assert "adam" in of_adam and of_adam["adam"]["table"]["mean"] == 0
    # Over Keras's defaults: Adam on the former networks, their own recipe on the present ones.
    gains = told["gains"]
    assert gains["tuned"]["table"]["mean"] == pytest.approx(0.02, abs=1e-4)
    assert gains["tuned, built-in network"]["table"]["mean"] == pytest.approx(0.02, abs=1e-4)


def test_the_prior_of_a_bag_is_the_recorded_gain_by_kind(worlds):
    folds = some_folds()
    folds["tasks"]["task 4"] = {**folds["tasks"]["task 4"], "group": "series"}
    for bag in folds["bags"]:
        bag["test"] += 0.02 * (bag["task"] == "task 4")
    own = recorded_runs.own_worlds(folds, worlds)
    assert replay_priors.bag_prior(own, "image") is None
    found = [replay_priors.bag_prior(own, data) for data in ("table", "other", "series")]
    assert [each.tasks for each in found] == [4, 5, 1]
    # Tasks of another kind count less.
    means = [each.mean for each in found]
    assert 0.02 < means[0] < means[1] < means[2] < 0.04 and means[0] < 0.023


def test_where_two_folds_of_most_recipes_are_recorded_a_bag_still_costs_five(worlds):
    folds = some_folds()
    folds["runs"] = [run for run in folds["runs"] if run["seed"] < 3 or run["recipe"] == "base"]
    # A recipe that is not asked for any more is left out.
    folds["runs"].append({**folds["runs"][0], "recipe": "former"})
    own = recorded_runs.own_worlds(folds, worlds)[0]
    assert (list(own.bags), own.seeds) == (["base"], [1, 2])
    records = Records(own, 1, 5.0)
    assert records.bag_cost("base") == pytest.approx(5 * 0.8)
    choice = records.train_bag("base")
    assert records.spent == pytest.approx(4.0) and records.tested(choice) == pytest.approx(0.82)
    with pytest.raises(ValueError, match="the folds of base take 3.2 s of 1 s"):
        records.train_bag("base")
    with pytest.raises(ValueError, match="not paid for"):
        Records(own, 1, 5.0).tested(choice)
    # An error of one fold is that of both together times the root of two.
    run = own.runs["smoothing", 1]
    assert run["error"] == pytest.approx(2**0.5 * 0.02)


def test_a_universe_is_written_and_read(tmp_path):
    path = tmp_path / "universe.json.gz"
    assert recorded_runs.read(path) == {"tasks": {}, "runs": []}
    recorded_runs.write(a_universe(), path)
    assert recorded_runs.read(path) == a_universe()


def test_lengths_are_whole_chunks_and_what_a_recipe_sees_stays_the_same_with_other_batches():
    rates = {"sgd": 0.1, "adam": 0.01}
    for changes in recorded_recipes.RECIPES.values():
        if recorded_recipes.missing_values(changes):
            continue
        recipe, every = recorded_recipes.recipe_of(changes, 0, 1000, rates)
        assert recipe.total_steps % every == 0 and every % recorded_recipes.CHUNK == 0
        seen = recipe.total_steps * recipe.batch_size / changes.get("length", 1.0)
        assert seen == pytest.approx(64_000, rel=0.1)
    assert recorded_recipes.missing_values({"no_such_value": 1, "optimizer": "none_such"}) == {
        "no_such_value",
        "none_such",
    }


@pytest.mark.slow
def test_a_universe_is_recorded_and_goes_on_where_it_stopped(tmp_path):
    from test_runs import printed_by

    output = tmp_path / "universe.json.gz"
    arguments = ("--tasks=diabetes", "--seeds=0", f"--output={output}", f"--cache={tmp_path}")
    printed_by("universe.py", *arguments, "--recipes=base,adam", "--nofetch")
    first = recorded_runs.read(output)
    assert [run["recipe"] for run in first["runs"]] == ["base", "adam"]
    printed_by("universe.py", *arguments, "--recipes=base,constant", "--nofetch")
    second = recorded_runs.read(output)
    assert second["runs"][:2] == first["runs"]
    (added,) = second["runs"][2:]
    assert added["recipe"] == "constant" and added["steps"][-1] == 800
    assert 0.2 < max(added["test"]) < 0.7 and added["gain_error"] > 0


@pytest.mark.slow
def test_folds_are_recorded_with_their_bag(tmp_path):
    from test_runs import printed_by

    output = tmp_path / "folds.json.gz"
    arguments = ("--tasks=diabetes", f"--output={output}", f"--cache={tmp_path}")
    printed_by("universe_folds.py", *arguments, "--recipes=length x1/4")
    found = recorded_runs.read(output)
    assert [run["seed"] for run in found["runs"]] == [1, 2, 3, 4, 5]
    (bag,) = found["bags"]
    singles = [run["test"][recorded_runs.kept(run)] for run in found["runs"]]
    assert 0.2 < np.mean(singles) < bag["test"] < 0.7  # the mean of five is better than one
    assert bag["gain_error"] > 0 and found["tasks"]["diabetes"]["starting"]["optimizer"] == "adam"
