"""The probe: a learning rate from the size of the first updates (S1.7)."""

from __future__ import annotations

from kerastune import probe
from kerastune.recipe import Recipe
from kerastune.stages.base import Decision, Facts, Stage
from kerastune.trial import Outcome, TrialSpec

TRIAL = "probe"


class Probe(Stage):
    """Trains a few dozen batches at a small rate and suggests one; it centres the grid, never replaces it."""

    name = "probe"
    share = 1.0

    def propose(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> list[TrialSpec]:
        if TRIAL in outcomes:
            return []
        probed = recipe.replace(learning_rate=probe.REFERENCE_RATE, decay="none", total_steps=probe.BATCHES)
        return [TrialSpec(TRIAL, self.name, probed, 0, probe.BATCHES)]

    def decide(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> Decision:
        done = outcomes[TRIAL]
        rate, ratio = probe.suggestion(done)
        reason = (
            f"In {done.steps} batches at a rate of {probe.REFERENCE_RATE:g} each update moved the weights by "
            f"{ratio:.2g} of their size; {probe.target_ratio(recipe.optimizer):.2g}, about right for "
            f"{recipe.optimizer}, would need a rate of {rate:.2g}."
        )
        values = {"suggested_rate": rate, "update_ratio": ratio}
        return Decision(self.name, recipe, recipe.replace(learning_rate=rate), reason, (TRIAL,), values)
