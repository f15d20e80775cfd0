"""The result of running a circuit: its metric and the whole model's for each pair, and what follows from them.

* **Faithfulness** is (m(C) − m(∅)) / (m(M) − m(∅)): m(C) is the circuit's metric, m(M) the whole model's, and m(∅) that
  with every edge ablated. `faithfulness` is the ratio of the means over pairs. `mean_of_ratios` is the mean of each
  pair's own ratio, which a pair with a small gap can dominate. If the mean gap is not certainly above zero, both are
  undefined: they are NaN, and `why_undefined` says whether the gap is within noise or negative, or the pairs too few.
  The gap is certain if its 99.5% interval lies above zero. So a mean gap of zero seldom passes after a long lower tail
  either, where the 95% interval of few pairs lies above zero in 8% of cases (rates: docs/validity.md). A gap that all
  pairs share counts as certain: rare pairs with another gap cannot be seen.
* `recovery` m(C) − m(∅), in the metric's unit, and `divergence`, the Kullback–Leibler divergence of the circuit's
  next-token distribution from the whole model's, in nats, are defined even then.
* **CPR** and **CMD** are the areas under f and under |1 − f| over the share of edges, where f is the faithfulness
  (Mueller et al., 2025, https://arxiv.org/abs/2504.13151). As there, CPR takes the edges with the highest scores first,
  and CMD those with the largest magnitudes of score, so each belongs to a curve of its own.

Intervals are those of `stats.intervals` and, of the two areas, of `circuits.running.areas`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.circuits.running.areas import cmd_interval, cpr_interval
from interp_emerge.core.showing import draw, html_of
from interp_emerge.stats.intervals import NEGATIVE, Interval, mean_interval, not_above_zero, ratio_interval

EXCHANGED = ": the whole model scores below the run with every edge ablated, so clean and corrupt may be exchanged"


def why_undefined(gap: np.ndarray) -> str:
    """Why fractions of a gap, shape [pair], are undefined, as a predicate of the gap; empty if they are defined."""
    found = not_above_zero(gap)
    return f"{NEGATIVE}{EXCHANGED}" if found == NEGATIVE else found


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The metric of a circuit (`metric`), of the whole model (`clean`) and with every edge ablated (`corrupt`).

    Each array has shape [pair]. Under resample ablation the run with every edge ablated is the corrupted run.
    `templates` names the template of each pair and is empty if the pairs have none.
    """

    metric: np.ndarray
    clean: np.ndarray
    corrupt: np.ndarray
    kl: np.ndarray
    """Divergence of the circuit's next-token distribution from the whole model's on the clean prompt, nats."""
    right: np.ndarray
    """1 if the circuit gives the correct answer the highest logit of all tokens, else 0."""
    ablation: str
    templates: tuple[str, ...] = ()

    @property
    def gap(self) -> Interval:
        """Mean of the whole model's metric minus that with every edge ablated, in the metric's unit."""
        return mean_interval(self.clean - self.corrupt)

    @property
    def defined(self) -> bool:
        """Whether the gap is certainly above zero; False for too few pairs, which do not show the noise."""
        return not self.why_undefined

    @property
    def why_undefined(self) -> str:
        """Why faithfulness is undefined, as a predicate of the gap; empty if it is defined."""
        return why_undefined(self.clean - self.corrupt)

    @property
    def interval(self) -> Interval:
        """Faithfulness, the ratio of means, with its 95% interval; NaN if it is undefined."""
        if not self.defined:
            return Interval.undefined()
        return ratio_interval(self.metric - self.corrupt, self.clean - self.corrupt)

    @property
    def faithfulness(self) -> float:
        """Fraction of the gap that the circuit keeps; it may leave [0, 1]."""
        return self.interval.value

    @property
    def ci(self) -> tuple[float, float]:
        """Ends of the 95% interval of the faithfulness."""
        return self.interval.low, self.interval.high

    @property
    def per_pair(self) -> np.ndarray:
        """Each pair's own ratio, shape [pair]; NaN for a pair without a gap."""
        gap = self.clean - self.corrupt
        return np.divide(self.metric - self.corrupt, gap, out=np.full(len(gap), np.nan), where=gap != 0)

    @property
    def mean_of_ratios(self) -> Interval:
        """Mean over pairs of their own ratios; NaN if faithfulness is undefined or a pair has no gap."""
        ratios = self.per_pair
        return mean_interval(ratios) if self.defined and np.isfinite(ratios).all() else Interval.undefined()

    @property
    def recovery(self) -> Interval:
        """Mean of the circuit's metric minus that with every edge ablated, in the metric's unit."""
        return mean_interval(self.metric - self.corrupt)

    @property
    def divergence(self) -> Interval:
        """Mean Kullback–Leibler divergence from the whole model, in nats."""
        return mean_interval(self.kl)

    @property
    def accuracy(self) -> Interval:
        """Fraction of pairs that the circuit answers correctly."""
        return mean_interval(self.right, share=True)

    def __repr__(self) -> str:
        if not self.defined:
            return f"Evaluation(faithfulness undefined: clean-corrupt gap {self.gap.value:.3g} {self.why_undefined})"
        return f"Evaluation(faithfulness {self.interval:.3f})"

    def _repr_html_(self) -> str:
        return html_of(repr(self), self.summary())

    def __getitem__(self, rows: np.ndarray) -> "Evaluation":
        """The evaluation on some of the pairs, given by a bool array or by their indices."""
        chosen = np.arange(len(self.metric))[rows]
        return Evaluation(
            metric=self.metric[chosen],
            clean=self.clean[chosen],
            corrupt=self.corrupt[chosen],
            kl=self.kl[chosen],
            right=self.right[chosen],
            ablation=self.ablation,
            templates=tuple(self.templates[row] for row in chosen) if self.templates else (),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a pair: `pair`, `template`, `metric`, `clean`, `corrupt`, `faithfulness`, `kl`, `right`."""
        return pd.DataFrame(
            {
                "pair": np.arange(len(self.metric)),
                "template": self.templates or "",
                "metric": self.metric,
                "clean": self.clean,
                "corrupt": self.corrupt,
                "faithfulness": self.per_pair,
                "kl": self.kl,
                "right": self.right,
            }
        )

    def summary(self) -> pd.DataFrame:
        """One row a quantity: `quantity`, `value`, `ci_low`, `ci_high`, `unit`."""
        fraction = "fraction of the gap"
        rows = [
            ("faithfulness", self.interval, fraction),
            ("mean_of_ratios", self.mean_of_ratios, fraction),
            ("recovery", self.recovery, "the metric's"),
            ("gap", self.gap, "the metric's"),
            ("kl", self.divergence, "nats"),
            ("accuracy", self.accuracy, "fraction of pairs"),
        ]
        return pd.DataFrame(
            [{"quantity": name, **interval.columns("value", "ci"), "unit": unit} for name, interval, unit in rows]
        )

    def by_template(self) -> pd.DataFrame:
        """The summary of each template's pairs: `template`, `n_pairs`, and the columns of `summary`."""
        names = np.array(self.templates or [""] * len(self.metric))
        parts = []
        for name in dict.fromkeys(names.tolist()):
            rows = names == name
            summary = self[rows].summary()
            summary.insert(0, "n_pairs", int(rows.sum()))
            summary.insert(0, "template", name)
            parts.append(summary)
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class FaithfulnessCurve:
    """Faithfulness of the best edges at growing shares of the graph, the edges ranked in two ways.

    All evaluations are of one model on the same pairs. Areas are taken over the given shares, by default MIB's grid. In
    a small graph several shares can give the same number of edges, and small shares give none.
    """

    shares: tuple[float, ...]
    n_edges: tuple[int, ...]
    """Number of edges at each share, rounded down, before those that lie on no path to the logits are dropped."""
    by_score: tuple[Evaluation, ...]
    """With the edges of the highest scores at each share; negative scores come last."""
    by_magnitude: tuple[Evaluation, ...]
    """With the edges of the largest magnitudes of score at each share."""

    def __repr__(self) -> str:
        first, last = self.by_magnitude[0].faithfulness, self.by_magnitude[-1].faithfulness
        about = f"{len(self.shares)} shares, {self.n_edges[0]:,} to {self.n_edges[-1]:,} edges"
        return f"FaithfulnessCurve({about}, faithfulness by magnitude {first:.2f} to {last:.2f})"

    def _repr_html_(self) -> str:
        return html_of(repr(self), self.to_frame(), most=2 * len(self.shares))

    def plot(self) -> Any:
        """Faithfulness over the share of edges, with its 95% intervals: an altair chart that shows and saves itself."""
        titles = ("share of the graph's edges (log scale)", "faithfulness, fraction of the clean-corrupt gap")
        frame = self.to_frame().assign(ranking=lambda table: "edges by " + table["ranking"])
        about = {"x": "share", "value": "faithfulness", "ends": ("ci_low", "ci_high"), "colour": "ranking"}
        return draw("interval_lines", frame, titles=titles, **about)

    def to_frame(self) -> pd.DataFrame:
        """One row a size: `ranking`, `share`, `n_edges`, `faithfulness` with its interval, `kl`, `accuracy`.

        The column `ranking` is `score` or `magnitude`: CPR belongs to the first curve, CMD to the second.
        """
        rows = [
            {
                "ranking": ranking,
                "share": share,
                "n_edges": n_edges,
                **found.interval.columns("faithfulness", "ci"),
                "kl": found.divergence.value,
                "accuracy": found.accuracy.value,
            }
            for ranking, evaluations in (("score", self.by_score), ("magnitude", self.by_magnitude))
            for share, n_edges, found in zip(self.shares, self.n_edges, evaluations, strict=True)
        ]
        return pd.DataFrame(rows)

    @property
    def cpr(self) -> float:
        """Area under faithfulness over the share of edges by score, from the first share on."""
        return self.cpr_interval.value

    @property
    def cmd(self) -> float:
        """Area between faithfulness and 1 over the share of edges by magnitude, from the first share on."""
        return self.cmd_interval.value

    @cached_property
    def cpr_interval(self) -> Interval:
        """CPR with its 95% interval; NaN if faithfulness is undefined."""
        return self._area(self.by_score, cpr_interval)

    @cached_property
    def cmd_interval(self) -> Interval:
        """CMD with its 95% interval; NaN if faithfulness is undefined. Noise adds to the value: see `areas`."""
        return self._area(self.by_magnitude, cmd_interval)

    def areas(self) -> pd.DataFrame:
        """CPR and CMD: `quantity`, `ranking` of the edges, `value`, `ci_low`, `ci_high`."""
        found = (("cpr", "score", self.cpr_interval), ("cmd", "magnitude", self.cmd_interval))
        return pd.DataFrame(
            [
                {"quantity": quantity, "ranking": ranking, **interval.columns("value", "ci")}
                for quantity, ranking, interval in found
            ]
        )

    def _area(self, evaluations: Sequence[Evaluation], area: Callable[..., Interval]) -> Interval:
        if len(self.shares) < 2 or not all(evaluation.defined for evaluation in evaluations):
            return Interval.undefined()
        kept = np.stack([evaluation.metric - evaluation.corrupt for evaluation in evaluations])
        return area(kept, evaluations[0].clean - evaluations[0].corrupt, np.array(self.shares))
