"""The best model so far, on disk while a search goes on."""

from __future__ import annotations

from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import baseline
from kerastune.study.run_directory import RunDir
from kerastune.training.trainer import Trainer
from kerastune.tuner import records
from kerastune.tuner.final_models import FinalModels
from kerastune.tuner.stage_models import StudyStates

BEST_SO_FAR = "best_so_far"


def save_better(run_dir: RunDir, trainer: Trainer, playbook: Playbook) -> None:
    """Saves the model of the last decision where it is the best on validation of all so far, with
    its value in `result.json`.

    Nothing is saved where the last decision chose no training, or one that is no better than those
    that earlier decisions chose.

    Args:
        run_dir: where.
        trainer: makes the model.
        playbook: after a decision.
    """
    scores = [_score(decision, playbook) for decision in playbook.decisions]
    if scores[-1] is None or any(score and score[0] >= scores[-1][0] for score in scores[:-1]):
        return
    _, trial = scores[-1]
    model = FinalModels(trainer, playbook, StudyStates(playbook.study), trial).single_model()
    records.save(model, run_dir.model)
    kept = playbook.outcomes[trial].kept_evaluation(playbook.objective)
    found = {"trial": trial, "validation": kept, "seconds": playbook.study.seconds()}
    records.write_json(run_dir.result, {BEST_SO_FAR: found})


def _score(decision: Decision, playbook: Playbook) -> tuple[float, str] | None:
    """Validation value of the training that a decision chose, larger is better, and its trial."""
    is_baseline = decision.stage == baseline.TRIAL and decision.evidence
    trials = [baseline.TRIAL] if is_baseline else decision.values.trials
    outcome = playbook.outcomes.get(next(iter(trials), ""))
    if outcome is None or outcome.example_scores is None or not outcome.weights_kept:
        return None
    return float(outcome.example_scores.mean()), outcome.spec.trial
