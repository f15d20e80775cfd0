"""Five hypothesis tests of the claim that a circuit does what the whole model does on the pairs.

Source: Shi et al., 2024, Hypothesis Testing the Circuit Hypothesis in LLMs, https://arxiv.org/abs/2410.13032.

M is the whole model, C the circuit, M∖C the model without the circuit's edges, ∅ the run with every edge ablated, and
m the metric of a pair. The distance of two runs is the root mean squared difference of m over pairs, in the metric's
unit. Each test has a null hypothesis:

1. `equivalence`. Null: |P(m(C) > m(M)) − 1/2| ≤ ε. The statistic is the share of pairs on which the circuit has the
   higher metric. The p-value is the two-sided binomial chance of a share at least as far from 1/2 if P = 1/2 + ε, the
   worst case. A tie counts half: the share then varies less than the binomial, so the p-value is too large rather than
   too small. Rejection is evidence against the circuit.
2. `independence`. Null: m(M∖C) and m(M) are independent over pairs. The statistic is the Hilbert-Schmidt independence
   criterion (Gretton et al., 2007, https://papers.nips.cc/paper/3201-a-kernel-statistical-test-of-independence) with
   Gaussian kernels, each as wide as its median distance. The p-value comes from permutations of the pairs. Rejection
   is evidence against the circuit, because what is left of the model still depends on the task. But m(∅) may depend
   on the task too, for example where corrupted prompts share most tokens with the clean ones. The test would then
   reject even the whole model as a circuit. So m(∅) and m(M) are tested first, with the same permutations. If they
   are dependent (p ≤ α, not adjusted), independence is undefined. A dependence too weak to be found still counts
   against the circuit.
3. `sufficiency`. Null: C is a random circuit of its size. The statistic is the distance of C from M, which is small if
   C is faithful. The p-value is its rank among random circuits. Rejection is evidence for the circuit.
4. `partial_necessity`. Null: C is a random circuit of its size. The statistic is the mean of m(M) − m(M∖C), which is
   large if removing the circuit hurts. (Shi et al. use the distance, which counts a rise of the metric as harm.) The
   p-value is its rank among random circuits. Rejection is evidence for the circuit.
5. `minimality`. Null: some edge of C does no more than an edge added at random. The effect of an edge is the distance
   of the circuit with it from the circuit without it. For the null distribution, a random path that leaves C is added
   to C, and the effect of a random one of the added edges is measured. The p-value of an edge of C is the rank of its
   effect. It is not exact, since the edge was not drawn as the random ones were (analyses/test_calibration measures the
   error). The p-value of the circuit is the largest of its edges, since every edge must pass. Rejection is evidence for
   the circuit.

The p-value of a rank (`stats.ranks`) is exact if the circuit is itself such a draw. How a circuit would be drawn from
noise depends on how it was selected. So 3 and 4 take the largest p-value over kinds of random circuits
(`circuits.finding.null_circuits`), and stop as soon as it is certain to exceed α (`circuits.testing.random_ranks`). A
random circuit that ties with the circuit counts as equally good, and the number of ties is reported.

Shi et al. ask instead whether the circuit beats more than a share q of all random circuits. `p_value_quantile` is the
binomial p-value of that test; its rejection is evidence for the circuit. For minimality they reverse the null: each
edge beats more than a share q of random edges. Its rejection (Holm over edges) is evidence against the circuit.

Failing to reject a null is not evidence for it: with few pairs, equivalence and independence are seldom rejected. If a
test has so few pairs or draws that it could not have been rejected at all, given the other tests, its note says so.

Cost: 2 + (edges) + 2 · `n_inflated` circuit runs, and for each kind of random circuits at most 2 · `n_random`, all of
them only if the circuit beats every kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, exp, lgamma, nan
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.null_circuits import kinds_of, null_circuits
from interp_emerge.circuits.finding.random_paths import random_paths_leaving
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.circuits.testing.outcomes import (
    HypothesisVerdict,
    Outcome,
    binomial,
    noted,
    ranked,
    verdict,
    with_few_draws_noted,
)
from interp_emerge.circuits.testing.random_ranks import rank_among
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph, without_edges
from interp_emerge.core.record import Record
from interp_emerge.stats.ranks import least_p, rank_p, tolerance
from interp_emerge.stats.significance import SIGNIFICANT, holm

NULLS = {
    "equivalence": "on about half of the pairs the circuit does better than the whole model",
    "independence": "the model without the circuit is independent of the whole model",
    "sufficiency": "the circuit is not closer to the whole model than random circuits of the same size",
    "partial_necessity": "removing the circuit does not hurt more than removing random circuits of the same size",
    "minimality": "some edge of the circuit does not do more than an edge added at random",
}
"""The null hypothesis of each test."""
TESTS_AGAINST = ("equivalence", "independence")
"""Tests whose rejection is evidence against the circuit."""
MOST_INFLATED = 1000
"""The largest number of random edges that minimality draws by default."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HypothesisTests(Record):
    """Outcomes of the five tests, with the effect of each edge that minimality measured."""

    outcomes: tuple[Outcome, ...]
    edges: pd.DataFrame
    """One row an edge of the circuit: `writer`, `reader`, `effect`, `p_value`, `p_adjusted` (Holm over edges),
    `p_value_quantile`."""
    alpha: float
    """Rate of false rejections among the five tests together."""

    def to_frame(self) -> pd.DataFrame:
        """One row a test.

        Columns `test`, `null`, `statistic`, `p_value`, `p_adjusted` (Holm over the tests that are defined), `rejected`
        (`p_adjusted` at most alpha), `verdict` (a `HypothesisVerdict`), `supports` (true where a rejection is evidence
        for the circuit, false where it is evidence against it, NA where the null is not rejected), `n` (pairs or random
        draws), `random_kind` (how the random circuits were drawn that the circuit beats least), `beaten` with `ci_low`,
        `ci_high`, `p_value_quantile` and `note`. For a test that is undefined, numbers are NaN and `rejected` is NA.
        """
        frame = pd.DataFrame([vars(outcome) for outcome in self.outcomes])
        frame["null"] = frame["test"].map(NULLS)
        frame["p_adjusted"] = holm(frame["p_value"].to_numpy(dtype=float))
        rejected = (frame["p_adjusted"] <= self.alpha).astype("boolean").mask(frame["p_value"].isna())
        against = frame["test"].isin(TESTS_AGAINST)
        frame["rejected"] = rejected
        verdicts: list[HypothesisVerdict] = [
            verdict(float(p_value), alpha=self.alpha, against=bool(side))
            for p_value, side in zip(frame["p_adjusted"], against, strict=True)
        ]
        frame["verdict"] = verdicts
        frame["supports"] = (~against).astype("boolean").mask(~rejected.fillna(False))
        columns = ["test", "null", "statistic", "p_value", "p_adjusted", "rejected", "verdict", "supports", "n"]
        return frame[[*columns, "random_kind", "beaten", "ci_low", "ci_high", "p_value_quantile", "note"]]


@checked
def hypothesis_tests(
    runs: Runs,
    circuit: Circuit,
    *,
    n_random: int = 100,
    n_inflated: int | None = None,
    n_permutations: int = 1000,
    epsilon: float = 0.1,
    quantile: float = 0.9,
    alpha: float = SIGNIFICANT,
) -> HypothesisTests:
    """Five tests of the claim that the circuit does what the whole model does on the pairs.

    Args:
        runs: the model and the pairs, which must be independent of each other. Its seed draws random circuits, paths,
            edges and permutations.
        circuit: edges of the model's graph, chosen on other pairs than these.
        n_random: number of random circuits of each kind to rank the circuit among.
        n_inflated: number of random edges to rank the circuit's edges among; by default enough for the adjusted
            p-values of an edge and of the circuit to reach alpha, from `n_random` to 1000.
        n_permutations: number of permutations of the pairs for independence.
        epsilon: largest distance from 1/2 that counts as equivalent.
        quantile: the share q of random circuits to beat.
        alpha: rate of false rejections among the five tests together.

    Raises:
        InputError: the circuit belongs to a graph of another shape, or an option is out of its range.
    """
    runs.model.require_graph(circuit.graph)
    for name, value, most in [("epsilon", epsilon, 0.5), ("quantile", quantile, 1.0), ("alpha", alpha, 1.0)]:
        if not 0 < value < most:
            raise InputError(f"{name}={value} is out of range; give a number between 0 and {most:g}")
    counts = {
        "n_random": n_random,
        "n_permutations": n_permutations,
        "n_inflated": 1 if n_inflated is None else n_inflated,
    }
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}={count} is not a number of random draws; give at least 1")
    graph, seed = runs.model.graph, runs.seed
    # Under resample ablation dead ends do nothing. Counting them would make the random circuits too large.
    kept = graph.prune(circuit.kept) if runs.ablation == "resample" else circuit.kept & graph.exists
    n_edges = int(kept.sum())
    reason = _undefined(runs, n_edges)
    if reason:
        return _all_undefined(graph, kept, reason, alpha)
    n_inflated = n_inflated or min(max(n_random, ceil(max(n_edges, len(NULLS)) / alpha)), max(n_random, MOST_INFLATED))
    inside, without = runs.metric_of([kept, graph.exists & ~kept], 2)
    model, claim = runs.whole.clean, circuit.with_kept(kept)
    drawn = {kind: null_circuits(claim, kind, n_random, seed=seed) for kind in kinds_of(claim)}
    how: dict[str, Any] = {"quantile": quantile, "alpha": alpha}
    minimal, edges = _minimality(runs, kept, inside, n_inflated=n_inflated, **how)
    outcomes = (
        equivalence(inside, model, epsilon=epsilon),
        independence(without, model, ablated=runs.whole.corrupt, n_permutations=n_permutations, alpha=alpha, seed=seed),
        rank_among(
            "sufficiency",
            float(_distance(inside[None], model)[0]),
            drawn,
            lambda circuits: _distance(runs.metric_of(circuits, len(circuits)), model),
            sign=-1,
            **how,
        ),
        rank_among(
            "partial_necessity",
            float(_lost(without[None], model)[0]),
            drawn,
            lambda circuits: _lost(runs.metric_of((graph.exists & ~one for one in circuits), len(circuits)), model),
            sign=1,
            **how,
        ),
        minimal,
    )
    return HypothesisTests(outcomes=with_few_draws_noted(outcomes, alpha), edges=edges, alpha=alpha)


@checked
def equivalence(circuit: np.ndarray, model: np.ndarray, *, epsilon: float = 0.1) -> Outcome:
    """Tests whether the circuit does better than the whole model on about half of the pairs.

    Args:
        circuit: the metric of the circuit, shape [pair].
        model: the metric of the whole model, shape [pair].
        epsilon: largest distance from 1/2 that counts as equivalent.
    """
    from scipy.stats import binom

    if not np.isfinite([circuit, model]).all():
        raise InputError("the metric of a pair is not finite, so it cannot be compared; leave the pair out")
    n, difference = len(model), circuit - model
    tied = np.abs(difference) <= tolerance(np.concatenate([circuit, model]))
    better = float(((difference > 0) & ~tied).sum() + tied.sum() / 2)
    off = abs(better - n / 2)
    law = binom(n, 0.5 + epsilon)
    # The two tails of counts k with |k - n/2| >= off. At off = 0 they hold every count.
    p_value = 1.0 if off == 0 else float(law.cdf(np.floor(n / 2 - off)) + law.sf(np.ceil(n / 2 + off) - 1))
    return Outcome(
        test="equivalence",
        statistic=better / n,
        p_value=min(p_value, 1.0),
        n=n,
        drawn=f"{n} pairs",
        least_p_value=(0.5 + epsilon) ** n + (0.5 - epsilon) ** n,
        note=f"{int(tied.sum())} of {n} pairs tie" if tied.any() else "",
    )


@checked
def independence(
    without: np.ndarray,
    model: np.ndarray,
    *,
    ablated: np.ndarray | None = None,
    n_permutations: int = 1000,
    alpha: float = SIGNIFICANT,
    seed: int = 0,
) -> Outcome:
    """Tests whether the model without the circuit is independent of the whole model over pairs.

    Args:
        without: the metric of the model without the circuit, shape [pair].
        model: the metric of the whole model, shape [pair].
        ablated: the metric with every edge ablated, shape [pair]. The test is undefined if this depends on the whole
            model's metric too (p at most alpha).
        n_permutations: number of permutations of the pairs.
        alpha: level of the test of `ablated`.
        seed: of the permutations.
    """
    n = len(model)
    if ablated is not None and (p_value := _dependence(ablated, model, n_permutations, seed)[1]) <= alpha:
        note = f"even with every edge ablated the metric depends on the whole model's, p = {p_value:.2g}"
        return Outcome(test="independence", n=n, note=note)
    statistic, p_value = _dependence(without, model, n_permutations, seed)
    # n pairs have only n! permutations.
    least = max(least_p(n_permutations), exp(-lgamma(n + 1)))
    return Outcome(
        test="independence",
        statistic=statistic,
        p_value=p_value,
        n=n,
        drawn=f"{n_permutations} permutations of {n} pairs",
        least_p_value=least,
    )


def _dependence(without: np.ndarray, model: np.ndarray, n_permutations: int, seed: int) -> tuple[float, float]:
    """The Hilbert-Schmidt independence criterion with its p-value; 1 if a metric is the same on all pairs."""
    if any(np.ptp(values) <= tolerance(values) for values in (without, model)):
        return 0.0, 1.0
    n, rng = len(model), np.random.default_rng(seed)
    first, second = _centred_kernel(without), _centred_kernel(model)
    found = float((first * second).sum())
    orders = (rng.permutation(n) for _ in range(n_permutations))
    permuted = np.array([(first * second[np.ix_(order, order)]).sum() for order in orders])
    return found / (n - 1) ** 2, rank_p(found, permuted)


@checked
def sufficiency(circuit: np.ndarray, drawn: np.ndarray, model: np.ndarray, *, quantile: float = 0.9) -> Outcome:
    """Tests whether the circuit is closer to the whole model than random circuits of the same size.

    Args:
        circuit: the metric of the circuit, shape [pair].
        drawn: the metric of the random circuits, shape [draw, pair].
        model: the metric of the whole model, shape [pair].
        quantile: the share q of random circuits to beat.
    """
    found, *others = _distance(np.vstack([circuit, drawn]), model)
    return ranked("sufficiency", float(found), np.array(others), quantile, sign=-1, drawn="random circuits")


@checked
def partial_necessity(without: np.ndarray, drawn: np.ndarray, model: np.ndarray, *, quantile: float = 0.9) -> Outcome:
    """Tests whether removing the circuit hurts more than removing random circuits of the same size.

    Args:
        without: the metric of the model without the circuit, shape [pair].
        drawn: the metric of the model without each random circuit, shape [draw, pair].
        model: the metric of the whole model, shape [pair].
        quantile: the share q of random circuits to beat.
    """
    found = float(_lost(without[None], model)[0])
    return ranked("partial_necessity", found, _lost(drawn, model), quantile, sign=1, drawn="random circuits")


def _minimality(
    runs: Runs,
    kept: EdgeMask,
    circuit: np.ndarray,
    *,
    n_inflated: int,
    quantile: float,
    alpha: float,
) -> tuple[Outcome, pd.DataFrame]:
    """The outcome of minimality for the circuit, and the table of its edges."""
    graph, at = runs.model.graph, np.argwhere(kept)
    if not (graph.exists & ~kept).any():
        note = "the circuit is the whole graph, so no edge can be added to compare with"
        return Outcome(test="minimality", n=0, note=note), _edge_table(graph, kept)
    knocked = runs.metric_of((without_edges(kept, [edge]) for edge in at), len(at))
    effects = _distance(knocked, circuit)
    inflated = runs.metric_of(_inflated(graph, kept, n_inflated, runs.seed), 2 * n_inflated)
    null = _distance(inflated[0::2], inflated[1::2])
    ranks = [ranked("minimality", float(effect), null, quantile, sign=1, drawn="random edges") for effect in effects]
    edges = _edge_table(graph, kept)
    edges["effect"], edges["p_value"] = effects, [rank.p_value for rank in ranks]
    edges["p_adjusted"] = holm(edges["p_value"].to_numpy())
    edges["p_value_quantile"] = [binomial(rank.beaten, len(null), quantile, "less") for rank in ranks]
    weakest = int(effects.argmin())
    within = float(holm(edges["p_value_quantile"].to_numpy()).min())
    least = min(1.0, least_p(n_inflated, n_tests=len(at)))
    few = f"no adjusted p-value of {len(at)} edges among {n_inflated} random ones is below {least:.2g}"
    outcome = replace(ranks[weakest], p_value_quantile=within)
    return noted(outcome, few) if least > alpha else outcome, edges


def _inflated(graph: Graph, kept: EdgeMask, n: int, seed: int) -> Iterator[np.ndarray]:
    """`n` times: the circuit with a random path added, then the same without a random one of the added edges."""
    rng = np.random.default_rng([seed, 1])
    for path in random_paths_leaving(graph, kept, n, rng):
        new = [edge for edge in path if not kept[edge]]
        larger = kept.copy()
        larger[tuple(np.transpose(new))] = True
        yield larger
        yield without_edges(larger, [new[int(rng.integers(len(new)))]])


def _edge_table(graph: Graph, kept: EdgeMask) -> pd.DataFrame:
    at = np.argwhere(kept)
    names = {
        "writer": [graph.writer_names[writer] for writer, _ in at],
        "reader": [graph.reader_names[reader] for _, reader in at],
    }
    return pd.DataFrame(names | dict.fromkeys(("effect", "p_value", "p_adjusted", "p_value_quantile"), nan))


def _distance(runs: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Root mean squared difference over pairs, shape [run], of runs of shape [run, pair]."""
    return np.sqrt(((runs - other) ** 2).mean(-1))


def _lost(runs: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Mean loss of the metric over pairs, shape [run], of runs of shape [run, pair]."""
    return (model - runs).mean(-1)


def _centred_kernel(values: np.ndarray) -> np.ndarray:
    """Gaussian kernel of the values, as wide as their median distance, minus the means of its rows and columns."""
    from scipy.spatial.distance import pdist, squareform

    apart = pdist(values[:, None])
    # If more than half of the distances are zero, so is their median.
    width = np.median(apart) or (np.mean(apart[apart > 0]) if apart.any() else 1.0)
    kernel = np.exp(-(squareform(apart) ** 2) / (2 * width**2))
    return kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()


def _undefined(runs: Runs, n_edges: int) -> str:
    """The reason why all tests are undefined for this circuit on these pairs; empty if they are defined."""
    if len(runs.pairs) < 2:
        return "there are fewer than 2 pairs"
    if not n_edges:
        return "the circuit is empty"
    why = runs.whole.why_undefined
    return f"the gap of {runs.whole.gap.value:.3g} {why}" if why else ""


def _all_undefined(graph: Graph, kept: EdgeMask, reason: str, alpha: float) -> HypothesisTests:
    outcomes = tuple(Outcome(test=test, n=0, note=reason) for test in NULLS)
    return HypothesisTests(outcomes=outcomes, edges=_edge_table(graph, kept), alpha=alpha)
