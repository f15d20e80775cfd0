"""What is read: what the model's own unembedding makes of each site, compared with what the model says in the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import METRICS
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import record as record_run
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Lens, LensReading
from interp_emerge.probing.engines.activations import Recorder, read_activations
from interp_emerge.probing.engines.sites import LAST, STREAM, Places, Site, sites_of
from interp_emerge.stats.intervals import mean_interval
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, Table

PARTS = ("resid_pre", "attn_out", "mlp_out")
"""What the final stream is the sum of; of `resid_pre`, the first block's only."""
ROWS = 256
"""Prompts whose logits of all tokens are held at once."""
LENS_SCORES = Table(
    name="lens_scores",
    row="what a lens reads at one site of one model",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "method": "lens",
        "site": "kind of activation",
        "layer": "layer, from 0",
        "head": "always -1: a lens reads sites of the stream's width",
        "position": "position in the prompt",
        "logit_diff": "logit of the answer minus logit of the foil after the lens, nats",
        **INTERVAL_COLUMNS,
        "accuracy": "share of prompts whose answer has the highest logit of all tokens; empty for contributions",
        "accuracy_low": "lower end of its 95% interval",
        "accuracy_high": "upper end of its 95% interval",
        "rank": "median rank of the answer among all tokens, 0 for the first; empty for contributions",
        "divergence": "mean Kullback-Leibler divergence from the model's final distribution to the lens's, nats; empty "
        "for contributions",
        "final": "logit difference of the model itself, nats",
    },
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LensScores(Record):
    """What a lens reads at each site, and the logit difference that it gives to each pair."""

    frame: pd.DataFrame
    per_pair: np.ndarray
    """Logit difference, nats, shape [pair, site]."""
    origin: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"LensScores({len(self.frame)} sites, {self.origin.get('method', '')}, {len(self.per_pair)} pairs)"

    def to_frame(self) -> pd.DataFrame:
        """One row for each site; the columns are those of the table `lens_scores`."""
        return self.frame.copy()


@checked
@torch.no_grad()
def lens(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "logit_lens",
    sites: str | Sequence[str] | None = None,
    positions: str | Sequence[str] = LAST,
    train: Tensor | PromptPairs | None = None,
    record: Recorder = record_run,
    budget: int | None = None,
) -> LensScores:
    """What a lens makes of each site after the clean prompts: logit difference, accuracy, rank, divergence.

    Example:
        >>> ie.lens(model, pairs, sites=["resid_post", "attn_out", "mlp_out"]).to_frame()

    Args:
        model: the model; it is left as it was.
        pairs: clean prompts with answers and foils.
        method: a lens by name: logit_lens, tuned_lens or direct_logit_attribution.
        sites: kinds of activations of the stream's width. By default resid_pre and resid_post; for
            direct_logit_attribution the parts of the final stream: the first resid_pre and each block's attn_out and
            mlp_out. Their logit differences sum to `final`, less a constant for each answer and foil: what the biases
            of the final norm and the unembedding add.
        positions: names in the pairs, `last`, numbers, or `all`.
        train: prompts on which the tuned lens is trained, shape [prompt, pos], or pairs, for their clean prompts. Those
            that are among the pairs to be read are left out.
        record: gets the activations of a run; by default runs the model.
        budget: bytes that activations may hold; by default a constant for the kind of device.

    Raises:
        UnknownNameError: no lens, site or position has the name.
        InputError: a site is not of the stream's width, the tuned lens gets no prompts of its own, or
            direct logit attribution is asked for elsewhere than at the last position.
    """
    chosen = shelf[method]
    if not isinstance(chosen, Lens):
        function = {"known": "ie.probe", "used": "ie.probing.use"}[chosen.asks]
        raise InputError(f"{method!r} is no lens; call {function}(model, pairs, method={method!r})")
    require_pairs(model, pairs)
    own_sites = PARTS if chosen.linear else ("resid_pre", "resid_post")
    kinds = [sites] if isinstance(sites, str) else [*(own_sites if sites is None else sites)]
    for kind in kinds:
        if kind not in STREAM:
            raise UnknownNameError("site of a lens", kind, STREAM)
    places = Places.of(pairs, positions)
    wanted = sites_of(model, kinds, places)
    if sites is None and chosen.linear:
        wanted = tuple(site for site in wanted if site.kind != "resid_pre" or site.layer == 0)
    if chosen.linear and any(bool((index < pairs.lengths - 1).any()) for index in places.index.values()):
        raise InputError(f"{method} adds up to the logits at the last position only; leave out positions")
    prompts = _training_prompts(model, pairs, train) if chosen.learns else []
    last = Site(kind="resid_post", layer=len(model.decoder.blocks) - 1)
    everywhere = Places(index={**places.index, LAST: pairs.lengths - 1})
    needed = tuple(dict.fromkeys((*wanted, last)))
    found = read_activations(model, pairs, needed, everywhere, recorder=record, budget=budget)
    streams = {site: found[site] for site in needed}
    read: LensReading | None = None
    parts: list[list[dict[str, Tensor]]] = [[] for _ in wanted]
    logit_diff, ends = METRICS["logit_diff"], []
    with model.running():
        for start in tqdm(range(0, len(pairs), ROWS), desc=method, delay=2, leave=False):
            rows = slice(start, start + ROWS)
            group, final_stream = pairs[rows], streams[last][rows]
            final = model.decoder.logits(final_stream.to(model.dtype)).float()
            ends.append(logit_diff(final, group))
            if read is None or chosen.linear:
                read = chosen.prepare(model, [final_stream] if chosen.linear else prompts)
            for site, kept in zip(wanted, parts, strict=True):
                logits = read(streams[site][rows], site.kind, site.layer)
                values = {"logit_diff": logit_diff(logits, group)}
                kept.append(values if chosen.linear else values | _as_prediction(logits, final, group))
    own, frames, columns = float(torch.cat(ends).double().mean()), [], []
    for site, kept in zip(wanted, parts, strict=True):
        values = {name: torch.cat([part[name] for part in kept]).double().cpu().numpy() for name in kept[0]}
        columns.append(values["logit_diff"])
        frames.append({"method": method, **site.columns, "final": own} | _summary(values))
    origin = {
        "method": method,
        "model": model.spec.to_dict(),
        "n_pairs": len(pairs),
        "prompts": pairs.fingerprint,
        **({"ability": pairs.ability} if pairs.ability else {}),
    }
    frame = pd.DataFrame(frames).reindex(columns=[*LENS_SCORES.filled])
    return LensScores(frame=frame, per_pair=np.stack(columns, 1), origin=origin)


def _as_prediction(logits: Tensor, final: Tensor, pairs: PromptPairs) -> dict[str, Tensor]:
    """Rank of the answer and divergence from the final distribution, for each pair; the logits are a prediction."""
    answers, truth = pairs.answers.to(logits.device), log_softmax(final, -1)
    known = torch.where(answers >= 0, logits.gather(-1, answers.clamp_min(0)), -torch.inf).amax(-1)
    divergence = (truth.exp() * (truth - log_softmax(logits, -1))).sum(-1)
    return {"rank": (logits > known[:, None]).sum(-1), "divergence": divergence}


def _summary(values: dict[str, np.ndarray]) -> dict[str, float]:
    """The columns of one site from the values of each pair."""
    row = mean_interval(values["logit_diff"]).columns("logit_diff", "ci")
    if "rank" not in values:
        return row
    right = mean_interval((values["rank"] == 0).astype(float), share=True)
    more = {"rank": float(np.median(values["rank"])), "divergence": float(values["divergence"].mean())}
    return row | right.columns("accuracy") | more


def _training_prompts(model: HookedModel, pairs: PromptPairs, train: Tensor | PromptPairs | None) -> list[Tensor]:
    """The prompts to train on, in groups of one length, without those that the lens is judged on.

    Raises:
        InputError: none are given, or none is left.
    """
    if train is None:
        raise InputError("a tuned lens is trained: give prompts of its own, such as train=ability.sample(model, n=256, "
                         "seed=1)")  # fmt: skip
    groups = [train] if isinstance(train, Tensor) else [group.clean for _, group in train.by_length()]
    own = {tuple(row) for _, group in pairs.by_length() for row in group.clean.tolist()}
    kept = []
    for tokens in groups:
        model.require_tokens(tokens)
        if left := [row for row, prompt in enumerate(tokens.tolist()) if tuple(prompt) not in own]:
            kept.append(tokens[left])
    if not kept:
        raise InputError("all prompts in train are among the pairs; train the lens on prompts that it is not judged on")
    return kept
