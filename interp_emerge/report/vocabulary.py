"""The words that the page uses as verdicts or terms, each with its definition; the page links the words to these.

A test holds every verdict of the package to a definition here. Longer explanations are in docs/emergence.md.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from interp_emerge.circuits.tables import CircuitVerdict
from interp_emerge.core.record import Record
from interp_emerge.emergence.forming.loss_changes import LossVerdict
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import DependenceVerdict
from interp_emerge.emergence.sameness.same_circuit.table import SameCircuitVerdict
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.stats.intervals import UNDEFINED

NO_VALUE = "no number can be given; the cell leads to the reason. It is not zero"


@dataclass(frozen=True, kw_only=True)
class Vocabulary(Record):
    """Words of one kind with their definitions."""

    name: str
    title: str
    meanings: Mapping[str, str]

    def anchor(self, word: str) -> str:
        """The anchor of a word's definition on the page."""
        return f"word-{self.name}-" + re.sub(r"\W+", "-", word).strip("-")

    def find(self, text: str) -> str | None:
        """The first of the words in a text, the longest if several begin there; None if there is none."""
        found = self._pattern.search(text)
        return found[0] if found else None

    def split(self, text: str, seen: set[str]) -> Iterator[tuple[str, str | None]]:
        """The text in pieces, each with the word that it is, or None; words in `seen` are skipped, others join it."""
        end = 0
        for found in self._pattern.finditer(text):
            if found[0] in seen:
                continue
            seen.add(found[0])
            yield text[end : found.start()], None
            yield found[0], found[0]
            end = found.end()
        yield text[end:], None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest = sorted(self.meanings, key=len, reverse=True)
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])")


ONSET = Vocabulary(
    name="onset",
    title="Verdicts on an onset",
    meanings={
        "present": "above half of the way from chance to the ceiling or, for parts of a circuit, from nothing to the "
        "last value",
        "certainly": "by a one-sided test at 2.5%, divided by the number of points that could make the same claim",
        OnsetVerdict.EMERGENT: "certainly present at the last point, and certainly near chance at a point before the "
        "onset; near chance is at most a fifth of the way to the ceiling",
        OnsetVerdict.GRADUAL: "certainly present at the last point, and certainly above near-chance at all points "
        "before the onset",
        OnsetVerdict.EMERGENT_OR_GRADUAL: "present at the last point and absent before, but noise leaves open whether "
        "it was near chance",
        OnsetVerdict.LEARNED: "over training steps: emergent, gradual, or either, which are not distinguished since "
        "every model starts untrained",
        OnsetVerdict.FROM_THE_START: "present at every point, certainly so at the first and the last. If the first "
        "point is the untrained model, it was not learned",
        OnsetVerdict.COMES_AND_GOES: "certainly present at some point, certainly absent later, and certainly present "
        "at the last",
        OnsetVerdict.NOT_REACHED: "above the threshold at no measured point. Noise may hide an onset: the interval of "
        "the onset says from where on",
        OnsetVerdict.LOST_AGAIN: "certainly present at some point, and certainly absent at the last",
        OnsetVerdict.UNDECIDED: "above the threshold at some point, but noise leaves open what happens there or later",
        UNDEFINED: NO_VALUE,
    },
)
JUMP = Vocabulary(
    name="jump",
    title="Verdicts on a jump",
    meanings={
        MirageVerdict.MODEL: "accuracy jumps, and the log-probability, which has no threshold, shares certainly more "
        "than half of the jump",
        MirageVerdict.METRIC: "accuracy jumps, and the log-probability shares certainly less than half of it: the "
        "model improves elsewhere as well, and the threshold of accuracy hides it",
        MirageVerdict.NO_JUMP: "accuracy rises evenly, by small steps, or, from a level above chance, not beyond "
        "noise. Nothing was measured between two neighbouring sizes",
        MirageVerdict.UNDECIDED: "the data do not decide; the reason stands in the column “reason”",
    },
)
SHAPE = Vocabulary(
    name="shape",
    title="Shapes of a rise over scale",
    meanings={
        "concentration": "(share − width) / (1 − width), for the share of the rise that lies in the steepest gap and "
        "the width of this gap as a fraction of the axis: 0 for an even rise, 1 for a rise in this gap alone. “Most” "
        "of a rise means a concentration above 0.5",
        "sharp": "most of the rise lies in one gap between neighbouring points",
        "steep": "most of the rise lies in two neighbouring gaps",
        "late": "near chance over the first three tenths of the axis or more, and most of the rise comes after",
        "spread": "neither one gap nor two neighbouring ones hold most of the rise",
        "small": "no step covers a fifth of the way from chance to the ceiling",
        "flat": "the rise is within noise, and no step covers a fifth of the way from chance to the ceiling",
        "undecided": "the samples of prompts and seeds do not agree on a shape, or the metric never leaves chance",
        UNDEFINED: NO_VALUE,
    },
)
FORM = Vocabulary(
    name="form",
    title="Forms of a curve over scale",
    meanings={
        "AIC": "Akaike's information criterion: the misfit plus twice the number of parameters, lower is better. A "
        "form is the verdict only if its AIC is lower than that of each other form by 4.4 or more",
        "constant": "the score does not change with scale",
        "power law": "the distance to a limit falls as a power of scale",
        "sigmoid": "an S over the logarithm of scale, from one level to another",
        "broken power law": "two power laws, with a bend between them",
        "cannot be told": "no form describes the scores certainly better than the others; the reservations "
        "have the two best",
        UNDEFINED: NO_VALUE,
    },
)
CIRCUIT = Vocabulary(
    name="circuit",
    title="Verdicts on a circuit",
    meanings={
        CircuitVerdict.FAITHFUL: "the whole 95% interval of its faithfulness lies above what 95% of the random "
        "circuits of its size keep",
        CircuitVerdict.NO_BETTER: "the interval of its faithfulness does not lie above what 95% of the random circuits "
        "keep",
        CircuitVerdict.NO_CIRCUIT: "no edges were selected; the reason follows the words",
        CircuitVerdict.UNDEFINED: "the gap between clean and corrupted prompts is not certainly above zero, so no "
        "fraction of it can be given",
    },
)
LAG = Vocabulary(
    name="lag",
    title="Verdicts on what comes first in training",
    meanings={
        "before": "in at least 97.5% of the bootstrap samples of prompts a checkpoint lies between the two onsets, and "
        "this one comes first",
        "after": "the same with this one second",
        "cannot be told": "neither is certain, for example because both lie between the same two checkpoints",
        LagVerdict.UNRESOLVED: "neither before nor after is certain, for example because both lie between the same two "
        "checkpoints",
        "depend on the head": "some of the heads come certainly first, others do not",
        "no final effect": "the effect at the last step is within noise of zero, so half of it, and with it an onset, "
        "is undefined",
    },
)
LOSS = Vocabulary(
    name="loss",
    title="Verdicts on the slope of the held-out loss",
    meanings={
        LossVerdict.CHANGES: "lines with changes of slope fit the checkpoints certainly better than lines with fewer",
        LossVerdict.NO_CHANGE: "one line describes all checkpoints; this is not evidence that nothing changes",
        LossVerdict.UNDEFINED: "there are too few checkpoints to look for a change",
    },
)
DEPENDENCE = Vocabulary(
    name="dependence",
    title="Verdicts on when the ability starts to depend on a part of the circuit",
    meanings={
        DependenceVerdict.DEPENDS: "the criterion holds from a checkpoint on at which it did not hold before",
        DependenceVerdict.FROM_THE_START: "the criterion holds at all checkpoints",
        DependenceVerdict.NOT_REACHED: "the criterion holds at no checkpoint: at none of them does ablating the part "
        "cost certainly more than ablating random parts like it. This does not say that the part does nothing",
        DependenceVerdict.LOST_AGAIN: "the criterion holds at an earlier checkpoint, but not at the last",
        DependenceVerdict.UNDECIDED: "the criterion holds at the last checkpoint, but in fewer than 97.5% of the "
        "resamples of the prompts",
        DependenceVerdict.TOO_FEW: "the criterion holds, but with fewer than 19 different random choices no p-value "
        "can reach 0.05",
        DependenceVerdict.UNDEFINED: "no gap above noise at the last checkpoint, or nothing random to compare with",
        "never": "an end of an interval beyond the last checkpoint: in some resamples there is no onset at all",
    },
)
SAME = Vocabulary(
    name="same",
    title="Verdicts on the circuits of two models",
    meanings={
        SameCircuitVerdict.SAME: "the whole interval of the corrected similarity lies above 0.9, and halves of each "
        "model's prompts share at least half of their circuits. Apart from size: of a circuit inside a larger one the "
        "shared part counts",
        SameCircuitVerdict.DIFFERENT: "the circuits share certainly less (p at most 0.05) than noise of the prompts "
        "within each model explains, and are not the same within the margin",
        SameCircuitVerdict.CANNOT_BE_TOLD: "neither verdict is safe: the prompts, the architecture or the match of "
        "heads leave it open. It does not say that they are the same",
        UNDEFINED: NO_VALUE,
    },
)
PROBE = Vocabulary(
    name="probe",
    title="Verdicts on knowledge and use",
    meanings={
        **{word: meaning for word, meaning in ONSET.meanings.items() if word != UNDEFINED},
        "not learned": "a probe of an untrained model, of the shape at the last point, decodes the variable as well: "
        "the trained interval does not lie above the untrained accuracy. So nothing shows that training made it known",
        "partly learned": "an untrained model decodes the variable beyond the threshold too, but certainly less well "
        "than the trained one",
        "open": "an end of the interval beyond the first or the last measured point",
        UNDEFINED: NO_VALUE,
    },
)
LEAD = Vocabulary(
    name="lead",
    title="Verdicts on whether a variable is known before it is used, or before the ability is there",
    meanings={
        "yes": "certainly known first: the 95% intervals of both onsets allow no other order",
        "yes, but not learned": "known first only because an untrained model decodes the variable as well. It says "
        "nothing about training",
        "yes, but partly learned": "known first, where an untrained model decodes the variable beyond the threshold "
        "already, though certainly less well",
        "no, after it": "certainly known later, so the other cannot have waited for it",
        "no, never known": "no measured point decodes the variable, so it comes neither before nor after",
        "cannot be told": "the 95% intervals of the two onsets allow either order",
        UNDEFINED: NO_VALUE,
    },
)
TERMS = Vocabulary(
    name="term",
    title="Terms",
    meanings={
        "clean-corrupt gap": "the metric on clean prompts, which need the ability, minus that on corrupted prompts of "
        "the same form, which have another answer or none",
        "random circuits": "connected sets of as many edges, drawn at random from the same model: what a circuit of "
        "this size keeps by chance",
        "Jaccard index": "shared edges as a fraction of the edges in either circuit: 0 for none, 1 for all",
        "faithfulness": "the fraction of the clean-corrupt gap that the circuit alone keeps while everything else gets "
        "the corrupted prompt's values; it may leave [0, 1]",
        "log_prob": "logarithm of the probability of the right token, nats. It has no threshold",
        "logit_diff": "logit of the right token minus that of the wrong one, nats",
        "eap_ig": "edge attribution patching with integrated gradients: scores every edge by gradients",
        "activation_patching": "a part's value on the clean prompt is put into the run on the corrupted prompt",
        "mass_mean": "a probe whose direction is the difference of the classes' means",
        "accuracy": "fraction of prompts on which the right next token has the highest logit of all tokens",
        "edges": "an edge is what one head, MLP or the embedding contributes to what a later one reads",
        "previous-token heads": "heads that attend to the token before",
        "induction heads": "heads that attend to the token after an earlier occurrence of the present one",
        "copying": "rise of the logit of the token that a head attends to, nats",
        "control": "a task that every size learns smoothly, so that a method that calls it emergent is wrong",
        "bootstrap": "prompts are drawn again with replacement, many times; intervals and shares are over these "
        "samples",
        "held-out loss": "loss on text that the models were not trained on, nats per token",
        "placebos": "random changes of the same size as the exchange that is tested",
        "ablating": "replacing what a part writes by what it writes on the corrupted prompt",
    },
)
VOCABULARIES = {
    one.name: one for one in (ONSET, JUMP, SHAPE, FORM, CIRCUIT, LAG, LOSS, DEPENDENCE, SAME, PROBE, LEAD, TERMS)
}
