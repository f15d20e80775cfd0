"""Models whose circuit is known by construction, pairs that need all of it, and how well methods find it.

1. `ground_truth` loads a model of the family `handset`, draws its pairs and names its circuit. One corruption reaches
   only some edges: swapping the token before the answer changes the keys of an induction head, but not its query. So
   the pairs mix corruptions, named in `templates`, and each true edge carries a difference in some of them.
2. `auroc` says how well scores separate true edges, or nodes, from the others: the probability that a true one ranks
   above another one, ties counting half (Mann and Whitney, 1947, https://doi.org/10.1214/aoms/1177730491; Hanley and
   McNeil, 1982, https://doi.org/10.1148/radiology.143.1.7063747). 1 is a perfect ranking, 0.5 is chance. The ranking is
   by magnitude, since a part that works against the answer belongs to the circuit too. If scores are of edges, a node's
   score is the sum of the magnitudes of the edges that it writes.
3. `recovery_table` compares methods on the constructions.

Cost: that of the methods. The largest model has 110 edges and 1.8 million parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.running.evaluation import evaluate
from interp_emerge.circuits.running.runs import Level
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.families._handset.constructions import CONSTRUCTIONS, NEW, OPERANDS, RESULT_BACK, SEEN
from interp_emerge.families._handset.weights import BOS, VOCABULARY
from interp_emerge.families.handset import HandsetFamily
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, NodeScores
from interp_emerge.patching.scoring import score

SEGMENT = 12
"""Number of different tokens between the first and the last token of a prompt."""
RANDOM_DRAWS = 20
"""Number of random rankings; the row of the method `random` is their mean."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth(Record):
    """A model, prompt pairs and the circuit that carries the model's ability on them.

    `silent` holds edges that do nothing until a part of the circuit is removed: those of a backup head.
    """

    name: str
    model: HookedModel
    pairs: PromptPairs
    circuit: Circuit
    silent: Circuit


@dataclass(frozen=True, kw_only=True)
class _Pair:
    clean: list[int]
    corrupt: list[int]
    answer: int
    foil: int
    positions: dict[str, int]


@checked
def ground_truth(name: str, n: int = 48, *, seed: int = 0) -> GroundTruth:
    """A construction of the family `handset` with `n` pairs, which take its corruptions in turn.

    Example:
        >>> known = ie.circuits.ground_truth("induction_distractors", n=16)
        >>> len(known.circuit), known.circuit.heads

    Raises:
        UnknownNameError: no construction has the name.
        InputError: there are fewer pairs than the construction has corruptions.
    """
    family = HandsetFamily()
    construction = family.construction(name)
    draw, corruptions = _PAIRS[name]
    if n < len(corruptions):
        raise InputError(f"{n} pairs leave out a corruption of {name!r}; give at least {len(corruptions)}")
    rng = np.random.default_rng(seed)
    templates = [corruptions[index % len(corruptions)] for index in range(n)]
    drawn = [draw(template, rng) for template in templates]
    pairs = PromptPairs(
        clean=[pair.clean for pair in drawn],
        corrupt=[pair.corrupt for pair in drawn],
        answer=[pair.answer for pair in drawn],
        foil=[pair.foil for pair in drawn],
        templates=templates,
        positions={place: [pair.positions[place] for pair in drawn] for place in drawn[0].positions},
    )
    model = family.load(name)
    circuit, silent = (
        Circuit.from_edges(model, edges, method="construction") for edges in (construction.edges, construction.silent)
    )
    return GroundTruth(name=name, model=model, pairs=pairs, circuit=circuit, silent=silent)


@checked
def auroc(scores: EdgeScores | NodeScores, truth: Circuit, *, level: Level = "edges") -> float:
    """Probability that a true edge, or node, has a larger magnitude of score than another one; ties count half.

    Example:
        >>> scores = ie.score(known.model, known.pairs, method="eap_ig")
        >>> ie.circuits.auroc(scores, known.circuit)
        1.0

    Args:
        scores: scores of edges, or of nodes; only nodes that write to the residual stream count.
        truth: the circuit by construction. Its nodes are the writers of its edges.
        level: what is ranked, `edges` or `nodes`; scores of nodes can only rank nodes.

    Raises:
        InputError: the scores are of another graph, by position or not finite; scores of nodes are to rank edges; or
            all or none of what was scored is true.
    """
    from scipy.stats import mannwhitneyu

    values, true = _labelled(scores, truth, level)
    return float(mannwhitneyu(values[true], values[~true]).statistic / (true.sum() * (~true).sum()))


@checked
def roc(scores: EdgeScores | NodeScores, truth: Circuit, *, level: Level = "edges") -> pd.DataFrame:
    """The ROC curve, whose area is `auroc`: one row a threshold, the strictest first.

    Columns `threshold` (smallest magnitude of score that is kept), `false_positive_rate`, `true_positive_rate`.

    Example:
        >>> scores = ie.score(known.model, known.pairs, method="eap")
        >>> ie.circuits.roc(scores, known.circuit)

    Raises:
        InputError: as `auroc` does.
    """
    values, true = _labelled(scores, truth, level)
    thresholds = np.unique(values)[::-1]

    def share_kept(of: np.ndarray) -> np.ndarray:
        below = np.searchsorted(np.sort(of), thresholds)
        return np.concatenate([[0.0], 1 - below / len(of)])

    return pd.DataFrame(
        {
            "threshold": np.concatenate([[np.inf], thresholds]),
            "false_positive_rate": share_kept(values[~true]),
            "true_positive_rate": share_kept(values[true]),
        }
    )


@checked
def recovery_table(
    names: Sequence[str] = tuple(CONSTRUCTIONS), methods: Sequence[str] = (), *, n: int = 48, seed: int = 0
) -> pd.DataFrame:
    """How well each method finds each circuit: one row a method and construction.

    Columns `construction`, `method`, `node_auroc`, `edge_auroc` and `faithfulness`. Faithfulness is that of the
    strongest edges by magnitude, in the true circuit's number, on other pairs. The last two columns are NaN for methods
    that score nodes.

    Example:
        >>> ie.circuits.recovery_table(["induction_distractors"], ["eap", "random"], n=16)

    Args:
        names: constructions; by default all.
        methods: patching methods; by default all, with their default options.
        n: number of pairs to score on; the same number of other pairs is used to evaluate.
        seed: of the pairs, and of methods that draw; the row of `random` is the mean of 20 draws.

    Raises:
        UnknownNameError: no construction or method has the name.
    """
    methods = methods or shelf.names()
    rows = []
    for name in tqdm(names, desc="constructions", delay=2, leave=False):
        scoring, held_out = ground_truth(name, n, seed=seed), ground_truth(name, n, seed=seed + 1)
        for method in methods:
            draws = RANDOM_DRAWS if method == "random" else 1
            seeds = [shelf[method].pick(seed=seed + draw) for draw in range(draws)]
            drawn = [_row(score(scoring.model, scoring.pairs, method=method, **own), held_out) for own in seeds]
            rows.append({"construction": name, "method": method, **pd.DataFrame(drawn).mean()})
    return pd.DataFrame(rows, columns=["construction", "method", "node_auroc", "edge_auroc", "faithfulness"])


def _row(scores: EdgeScores | NodeScores, held_out: GroundTruth) -> dict[str, float]:
    by_node = auroc(scores, held_out.circuit, level="nodes")
    if isinstance(scores, NodeScores):
        return {"node_auroc": by_node, "edge_auroc": np.nan, "faithfulness": np.nan}
    strongest = scores.top(len(held_out.circuit))
    return {
        "node_auroc": by_node,
        "edge_auroc": auroc(scores, held_out.circuit),
        "faithfulness": evaluate(held_out.model, strongest, held_out.pairs).faithfulness,
    }


def _labelled(scores: EdgeScores | NodeScores, truth: Circuit, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes of scores, and whether each scored edge or node is true, shape [edge or node] each."""
    graph = truth.graph
    if scores.graph != graph:
        raise InputError("scores and true circuit belong to graphs of different shapes; score the circuit's own model")
    if scores.positions is not None:
        raise InputError("the scores are by position, but the true circuit is not; score again without positions")
    if not np.isfinite(scores.scores).all():
        raise InputError("scores that are not finite cannot be ranked; check the model's dtype and the metric")
    writes = np.asarray(truth.kept.any(1))
    if level == "edges":
        if isinstance(scores, NodeScores):
            raise InputError("scores of nodes cannot rank edges; give level='nodes'")
        values, true = scores.scores[graph.exists], truth.kept[graph.exists]
    elif isinstance(scores, EdgeScores):
        values, true = np.abs(scores.scores).sum(1), writes
    else:
        place = {node: index for index, node in enumerate(graph.writers)}
        scored = [index for index, node in enumerate(scores.nodes) if node in place]
        values, true = scores.scores[scored], writes[[place[scores.nodes[index]] for index in scored]]
    if not true.any() or true.all():
        which = "none" if not true.any() else "all"
        raise InputError(f"{which} of the {len(true)} {level} that were scored are true; a ranking needs both kinds")
    return np.abs(values), true


def _induction_pair(corruption: str, rng: np.random.Generator) -> _Pair:
    """A segment of different tokens, then one of them again; the correct answer is the token that followed it.

    In the corrupted prompt, `key`: the earlier copy changes places with another token, so another token follows it;
    `query`: the last token is another token of the segment; `value`: another token follows the earlier copy.
    """
    segment, (fresh, *_) = _words(rng, range(1, VOCABULARY))
    asked = int(rng.integers(0, SEGMENT - 3))
    other = int(rng.integers(asked + 2, SEGMENT - 1))
    corrupt, last = segment.copy(), segment[asked]
    if corruption == "key":
        corrupt[asked], corrupt[other] = segment[other], segment[asked]
    elif corruption == "query":
        last = segment[other]
    else:
        corrupt[asked + 1] = fresh
    foil = fresh if corruption == "value" else segment[other + 1]
    return _repeating(segment, segment[asked], corrupt, last, foil, asked)


def _backup_pair(corruption: str, rng: np.random.Generator) -> _Pair:
    """As for induction, but the corrupted prompt has no answer, so neither head fires there.

    In the corrupted prompt, `key`: the earlier copy is replaced; `query`: the last token is one that did not occur
    before; `key and value`: the earlier copy and the token after it are replaced. The foil is a token that neither
    prompt leads to.
    """
    segment, (fresh, second, *_) = _words(rng, range(1, VOCABULARY))
    asked = int(rng.integers(0, SEGMENT - 3))
    corrupt, last = segment.copy(), segment[asked]
    if corruption == "query":
        last = fresh
    else:
        corrupt[asked] = fresh
    if corruption == "key and value":
        corrupt[asked + 1] = second
    return _repeating(segment, segment[asked], corrupt, last, segment[asked + 2], asked)


def _repeating(segment: list[int], last: int, corrupt: list[int], corrupt_last: int, foil: int, asked: int) -> _Pair:
    return _Pair(
        clean=[BOS, *segment, last],
        corrupt=[BOS, *corrupt, corrupt_last],
        answer=segment[asked + 1],
        foil=foil,
        positions={"first occurrence": asked + 1, "after first occurrence": asked + 2, "last": SEGMENT + 1},
    )


def _duplicate_pair(corruption: str, rng: np.random.Generator) -> _Pair:
    """A segment of different tokens, then one of them again or a new one.

    `key`: only one of the two prompts has the earlier copy. `query`: the last token differs. In half of the pairs the
    clean prompt is the one with the copy.
    """
    segment, (fresh, *_) = _words(rng, range(NEW + 1, VOCABULARY))
    asked = int(rng.integers(SEGMENT))
    without, last = segment.copy(), segment[asked]
    if corruption.startswith("key"):
        without[asked] = fresh
    seen, new = [BOS, *segment, last], [BOS, *without, fresh if corruption.startswith("query") else last]
    repeats = corruption.endswith("seen")
    return _Pair(
        clean=seen if repeats else new,
        corrupt=new if repeats else seen,
        answer=SEEN if repeats else NEW,
        foil=NEW if repeats else SEEN,
        positions={"earlier copy": asked + 1, "last": SEGMENT + 1},
    )


def _chain_pair(corruption: str, rng: np.random.Generator) -> _Pair:
    """Words, two operands, words; the correct answer is the operands' sum. Corrupted prompts change one operand."""
    operands = rng.integers(OPERANDS, size=2)
    others = operands.copy()
    others[0 if corruption == "first operand" else 1] += rng.integers(1, OPERANDS)
    before, after = SEGMENT - 1 - RESULT_BACK, RESULT_BACK
    words = rng.integers(1 + OPERANDS, VOCABULARY, size=before + after).tolist()

    def prompt(pair: np.ndarray) -> list[int]:
        return [BOS, *words[:before], *(1 + pair % OPERANDS).tolist(), *words[before:]]

    answer, foil = (1 + int(pair.sum() % OPERANDS) for pair in (operands, others))
    positions = {"first operand": before + 1, "second operand": before + 2, "last": before + 2 + after}
    return _Pair(clean=prompt(operands), corrupt=prompt(others), answer=answer, foil=foil, positions=positions)


def _words(rng: np.random.Generator, among: range) -> tuple[list[int], list[int]]:
    """A segment of different tokens, and the tokens that are not in it, in random order."""
    order = rng.permutation(np.array(among)).tolist()
    return order[:SEGMENT], order[SEGMENT:]


_INDUCTION = (_induction_pair, ("key", "query", "value"))
_PAIRS: dict[str, tuple[Callable[[str, np.random.Generator], _Pair], tuple[str, ...]]] = {
    "induction": _INDUCTION,
    "induction_distractors": _INDUCTION,
    "induction_grouped": _INDUCTION,
    "duplicate_token": (_duplicate_pair, ("key, seen", "query, seen", "key, new", "query, new")),
    "chain": (_chain_pair, ("first operand", "second operand")),
    "backup": (_backup_pair, ("key", "query", "key and value")),
}
"""How a pair of each construction is drawn, and its corruptions."""
