"""The stages by name, in the order of the playbook."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kerastune.playbook.rules.full_training import DECAY_STRETCH
from kerastune.playbook.rules.model_search import Sample
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.baseline import Baseline
from kerastune.playbook.stages.batch import Batch
from kerastune.playbook.stages.class_weights import Weights
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.ensemble import MEMBERS, Ensemble, Validation
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.model import Model
from kerastune.playbook.stages.probe import Probe
from kerastune.playbook.stages.prune import SPARSITIES, KeptWeights, Prune
from kerastune.playbook.stages.regularize import Regularize
from kerastune.playbook.stages.start import Start
from kerastune.playbook.stages.train import Train
from kerastune.playbook.stages.tta import Look, Tta

ORDER = (
    *(
        "start",
        "probe",
        "baseline",
        "lr",
        "batch",
        "model",
        "finetune",
        "decay",
        "weights",
        "regularize",
    ),
    *("train", "ensemble", "tta"),
)
AFTERWARDS = ("distill", "prune")  # only where they are named
ALONE = ("ensemble", "tta")  # they would be made of other models than the one that comes back
LEFT_TO_OTHERS = 0.5  # of what the training leaves: as much for more models, or for all examples, as for a longer one


def check(names: Sequence[str]) -> None:
    """Raises `ValueError` for a name that is no stage's, one given twice, or another order than the
    playbook's; and for pruning or distilling beside an ensemble or views, or each other: each would
    hand on another model.

    Example:
        >>> check(["lr", "train"])
    """
    known = (*ORDER, *AFTERWARDS)
    for name in names:
        if name not in known:
            raise ValueError(f"`stages` must be among {', '.join(known)}, got {name!r}.")
    if list(names) != [name for name in known if name in names]:
        raise ValueError(
            f"`stages` must be in the order {', '.join(known)}, each once, got {', '.join(names)}."
        )
    after = [name for name in AFTERWARDS if name in names]
    beside = [name for name in (*ALONE, *after[1:]) if name in names]
    if after and beside:
        raise ValueError(
            f"`stages` can't have both {after[0]} and {beside[0]}: leave one of them out."
        )


def make(
    names: Sequence[str],
    decay: str,
    chunk: int,
    searched: Sequence[str] = (),
    sample: Sample | None = None,
    validation: Callable[[], Validation] | None = None,
    members: int = MEMBERS,
    look: Look | None = None,
    sparsities: Sequence[float] = SPARSITIES,
    weights: KeptWeights | None = None,
    refit: bool = False,
    folds: int = 0,
) -> list[Stage]:
    """The stages of these names.

    Args:
        names: as `check` takes them.
        decay: how the rate falls in the training, as in a recipe.
        chunk: steps in one call of the train function.
        searched: names of the model's hyperparameters, for stage `model`.
        sample: where that stage has its proposals from; needed when there are any.
        validation: what the ensemble is chosen on; needed where that stage, or the next, is one of
            them.
        members: of an ensemble, at most.
        look: what models say of views of the validation part, for stage `tta`; needed where that is
            one of them.
        sparsities: that stage `prune` tries.
        weights: gives the kept weights of a trial; needed for that stage.
        refit: whether the budget holds a training on all examples at the end.
        folds: of the training part, that so many trainings for the ensemble leave out one each.
    """
    check(names)
    tuned = any(
        stage.name in names
        for stage in (LearningRate, Batch, Model, FineTune, Decay, Weights, Regularize)
    )
    # Steps are found at a constant rate; those of a recipe that is given fit its own decay.
    stretch = DECAY_STRETCH if LearningRate.name in names and decay == "linear" else 1
    known = {
        "start": Start,
        "probe": Probe,
        "baseline": lambda: Baseline(chunk),
        "lr": lambda: LearningRate(chunk),
        "batch": lambda: Batch(chunk, training_after=stretch if Train.name in names else 0.0),
        "model": lambda: Model(chunk, tuple(searched), sample),
        "finetune": lambda: FineTune(chunk, stretch=stretch),
        "decay": lambda: Decay(chunk, stretch=stretch),
        "weights": lambda: Weights(chunk, stretch=1 if Decay.name in names else stretch),
        "regularize": lambda: Regularize(
            chunk, stretch=1 if Decay.name in names else stretch, views=Tta.name in names
        ),
        "train": lambda: Train(
            chunk,
            tuned=tuned,
            stretch=1 if {Decay.name, Regularize.name} & set(names) else stretch,
            leaves=LEFT_TO_OTHERS if refit or {Ensemble.name, *AFTERWARDS} & set(names) else 0.0,
            regularizes=Regularize.name in names,
        ),
        "ensemble": lambda: Ensemble(validation, members, folds),
        "tta": lambda: Tta(look, lambda predictions: validation().figures(predictions)),
        "distill": Distill,
        "prune": lambda: Prune(sparsities, weights),
    }
    return [known[name]() for name in names]
