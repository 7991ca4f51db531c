"""How often every stage decides the same when the seed is another: python runs/stability.py.

The seed is that of the cut of the data, of the weights and of the batches, so all that a user's
luck consists of. The budget is one of steps, so other programs that run meanwhile change nothing. A
decision that varies should have said so itself ("does as well", "CI includes 0", "tied"): the
last column counts how many of those that differ from the most frequent one did, or kept what the
stage was given.
"""

import collections
import json
import pathlib
import sys

from absl import app, flags

FLAGS = flags.FLAGS
TASKS = {"digits": "mlp", "wine": "mlp", "breast_cancer": "mlp", "diabetes": "mlp"}
SAID = (
    "does as well",
    "CI includes 0",
    "none is expected to be better",
    "tied",
    "not tested",
    "no other reaches its loss",
)


def decided(decision):
    """What a stage decided, in a few words; `None` for a stage that had nothing to decide."""
    before, after, values = decision.before, decision.after, decision.values
    if decision.stage == "lr":
        return f"rate {after.learning_rate:g}"
    if decision.stage == "batch":
        return f"{after.optimizer} {after.batch_size}" + (
            f" m{after.momentum:g}" if after.optimizer == "sgd" else ""
        )
    if decision.stage == "decay":
        return after.decay
    if decision.stage == "regularize":
        names = ("weight_decay", "dropout", "label_smoothing", "augmentation", "flip")
        return ", ".join(n for n in names if getattr(after, n) != getattr(before, n)) or "nothing"
    if decision.stage == "train":
        return "the baseline" if values.trial == "baseline" else "the tuned recipe"
    if decision.stage in ("ensemble", "tta"):
        return "kept" if values.kept else "left out"
    return None


def search(task, seed):
    """The decisions of one search: `[stage, what it decided, whether its words call that a matter
    of noise]`.
    """
    from kerastune import PlaybookTuner
    from kerastune.data import loading
    from kerastune.models import hypermodels
    from kerastune.runtime import devices

    devices.set_up()
    loaded = loading.load(task, seed=seed)
    tuner = PlaybookTuner(
        hypermodels.load(TASKS[task], loaded),
        budget=FLAGS.budget,
        directory=FLAGS.output_dir,
        project_name=f"{task}-{seed}",
        seed=seed,
    )
    tuner.search(loaded, verbose=0)
    return [
        (decision.stage, what, any(words in decision.reason for words in SAID))
        for decision in tuner.decisions
        if (what := decided(decision)) is not None
    ]


def rows(task, searches):
    """A row of the table for every stage, from the decisions of all seeds."""
    by_stage = collections.defaultdict(list)
    for decisions in searches:
        for stage, what, said in decisions:
            by_stage[stage].append((what, said))
    for stage, found in by_stage.items():
        counts = collections.Counter(what for what, _ in found)
        most, times = counts.most_common(1)[0]
        others = [said for what, said in found if what != most]
        told = "; ".join(f"{what} {count}x" for what, count in counts.most_common())
        yield (
            f"| {task} | {stage} | {told} | {times} of {len(found)} | {sum(others)} of "
            f"{len(others)} |"
        )


def main(argv):
    directory = pathlib.Path(FLAGS.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    print("| data | stage | decisions | the same | of the others, said so |\n|---|---|---|---|---|")
    kept = []
    for task in FLAGS.tasks:
        searches = [search(task, int(seed)) for seed in FLAGS.seeds]
        for row in rows(task, searches):
            print(row, flush=True)
        kept.append({"task": task, "seeds": FLAGS.seeds, "decisions": searches})
    (directory / "stability.json").write_text(json.dumps(kept, indent=1) + "\n")


def define():
    """Defines the flags."""
    flags.DEFINE_list("tasks", list(TASKS), f"Among {', '.join(TASKS)}.")
    flags.DEFINE_list("seeds", ["1", "2", "3", "4", "5"], "Of cut, weights and batches.")
    flags.DEFINE_string("budget", "20000steps", "Of every search.")
    flags.DEFINE_string("output_dir", "stability-out", "Where the searches and stability.json go.")
    flags.register_validator(
        "tasks", lambda tasks: set(tasks) <= set(TASKS), f"must be among {', '.join(TASKS)}"
    )


if __name__ == "__main__":
    define()
    sys.exit(app.run(main))
