"""What is known: how well a variable can be decoded from each site, with every control beside it.

1. The activations of the model, of an untrained model of the same shape, and of the embedding alone are read.
2. For each variable and position, the labels are taken from the pairs, and the folds are made so that nothing leaks.
3. For each block of sites the probes of all folds, strengths and arms are fitted together (`trials.try_decoder`).
4. False discoveries are controlled over all rows (Benjamini and Hochberg, 1995).

Cost: one pass over the pairs for each of the two models. The fits hold one block of sites at a time.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import record as record_run
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, require_whole
from interp_emerge.core.memory import ACCELERATOR_BUDGET, BYTES_A_FLOAT, CPU_BUDGET
from interp_emerge.core.model import HookedModel
from interp_emerge.families.hooking import untrained
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.activations import Activations, Recorder, read_activations
from interp_emerge.probing.engines.comparing import Judge
from interp_emerge.probing.engines.folds import equal_up_to
from interp_emerge.probing.engines.plans import Plan, each_once, plan_of, warn_of_rare_classes
from interp_emerge.probing.engines.sites import Places, Site, sites_of
from interp_emerge.probing.engines.trials import Design, Trial, try_decoder
from interp_emerge.probing.engines.variables import Labels
from interp_emerge.probing.scores import HeldOut, ProbeScores, SavedProbe
from interp_emerge.probing.tables import PROBE_SCORES
from interp_emerge.stats.intervals import Interval
from interp_emerge.stats.significance import false_discovery, sign_flip_p_values

logger = logging.getLogger(__name__)
FOLDS = 5


@checked
def probe(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    variable: str | Sequence[str] = "answer",
    method: str = "logistic",
    sites: str | Sequence[str] = "resid_post",
    positions: str | Sequence[str] = "last",
    layers: Sequence[int] | None = None,
    labels: Labels | None = None,
    held_out: str = "",
    folds: int = FOLDS,
    seed: int = 0,
    record: Recorder = record_run,
    budget: int | None = None,
) -> ProbeScores:
    """How well a probe decodes variables of the clean prompts at each site, with every control as a column.

    Accuracy says what can be decoded, not what the model uses: see `ie.probing.use`.

    Example:
        >>> scores = ie.probe(model, names, variable="receiver", positions=["last", "acting name"])
        >>> scores.to_frame()[["layer", "position", "accuracy", "untrained", "embedding", "selectivity"]]

    Args:
        model: the model to probe; it is left as it was.
        pairs: prompts with labels; 200 or more give useful intervals.
        variable: what to decode: a name in `pairs.variables`, `answer`, `foil`, `token+1` and the like, a column of
            `labels`; or several.
        method: a decoder by name: logistic, ridge, mass_mean, nearest_centroid, k_sparse or mdl.
        sites: kinds of activations: resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v, mlp_hidden.
        positions: names in the pairs, `last`, numbers, or `all`, which leaves out positions up to which all prompts
            have the same tokens.
        layers: the layers to probe; all if left out.
        labels: a table of more variables, with one row for each pair, or the path of one.
        held_out: what training and test never share: `prompts`, `templates`, or the name of a variable whose values
            are entities. By default prompts; templates if these give the variable away.
        folds: number of folds.
        seed: seed of folds, shuffles, control task, noise, and of the untrained model.
        record: gets the activations of a run; by default runs the model.
        budget: bytes that activations and fits may each hold; by default a constant for the kind of device.

    Raises:
        UnknownNameError: no method, site, position or variable has the name.
        InputError: the labels do not fit (one class, too few pairs, another length), a wording gives the variable
            away, a position is beyond a prompt, or activations are not finite.
    """
    decoder = shelf[method]
    if not isinstance(decoder, Decoder):
        function = {"read": "ie.lens", "used": "ie.probing.use"}[decoder.asks]
        raise InputError(f"{method!r} decodes no variable; call {function}(model, pairs, method={method!r})")
    require_pairs(model, pairs)
    require_whole(folds, "folds", least=3)
    variables = [variable] if isinstance(variable, str) else [*dict.fromkeys(variable)]
    if not variables:
        raise InputError("no variable; name at least one, such as 'answer'")
    places = Places.of(pairs, positions)
    if "all" in ([positions] if isinstance(positions, str) else positions):
        places = _where_prompts_differ(pairs, places)
    wanted = sites_of(model, sites, places, layers)
    plans = [
        plan_of(pairs, name, place, places, decoder, labels=labels, held_out=held_out, folds=folds, seed=seed)
        for name in variables
        for place in places.index
    ]
    plans = each_once(plans)
    warn_of_rare_classes(plans)
    limit = budget or (CPU_BUDGET if model.device.type == "cpu" else ACCELERATOR_BUDGET)
    embedded = tuple(dict.fromkeys(site.embedding() for site in wanted))
    reading: dict[str, Any] = {"places": places, "budget": budget}
    # The embedding is read beside the sites; where it is a site itself it is read once.
    own = read_activations(model, pairs, tuple(dict.fromkeys((*wanted, *embedded))), recorder=record, **reading)
    fresh = read_activations(untrained(model, seed), pairs, wanted, **reading)
    found = [_probe_position(plan, decoder, wanted, own, fresh, limit) for plan in plans]
    rows = [row for part in found for row in part.rows]
    probes = tuple(one for part in found for one in part.probes)
    frame = pd.DataFrame(rows).assign(method=method)
    frame["depth"] = [one.site.depth(len(model.decoder.blocks)) for one in probes]
    frame["q_value"] = false_discovery(frame["p_value"].to_numpy())
    origin = {
        "method": method,
        "model": model.spec.to_dict(),
        "n_pairs": len(pairs),
        "prompts": pairs.fingerprint,
        "folds": folds,
        "seed": seed,
        **({"ability": pairs.ability} if pairs.ability else {}),
    }
    learning = pd.DataFrame(
        [row for part in found for row in part.learning],
        columns=pd.Index(["site", "layer", "head", "position", "variable", "n_training", "accuracy"]),
    )
    return ProbeScores(
        frame=frame[[*PROBE_SCORES.filled]],
        probes=probes,
        learning=learning,
        origin=origin,
        held_out=HeldOut(
            site=np.stack([values for part in found for values in part.hits]),
            embedding=np.stack([part.embedded for part in found for _ in part.hits]),
            groups=np.stack([at.design.groups for at, part in zip(plans, found, strict=True) for _ in part.hits]),
        ),
    )


def _where_prompts_differ(pairs: PromptPairs, places: Places) -> Places:
    """The positions up to which not all prompts have the same tokens; others are left out, and a warning names them."""
    kept = {name: place for name, place in places.index.items() if equal_up_to(pairs, place).max() > 0}
    if not kept:
        raise InputError(f"all {len(pairs)} prompts are the same, so nothing can be decoded; give prompts that differ")
    if left := [name for name in places.index if name not in kept]:
        logger.warning("positions %s are not probed: all prompts have the same tokens up to there", ", ".join(left))
    return Places(index=kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    rows: list[dict[str, Any]]
    probes: list[SavedProbe]
    learning: list[dict[str, Any]]
    hits: list[np.ndarray]
    """For each row what each pair adds to its accuracy, shape [pair]."""
    embedded: np.ndarray


def _probe_position(
    plan: Plan, decoder: Decoder, wanted: Sequence[Site], own: Activations, fresh: Activations, budget: int
) -> _Found:
    """The rows of one variable at one position."""
    design, target = plan.design, plan.design.target
    judge = Judge(design=design)
    here = [site for site in wanted if site.position == plan.position]
    each = 2 * BYTES_A_FLOAT * len(target) * len(design.arms) * len(decoder.strengths) * max(1, target.n_classes)
    embedding = try_decoder(decoder, own[here[0].embedding()][None], design.only_true(), budget=budget, full=False)
    baseline: dict[Site, np.ndarray] = {}
    for sites, activations in fresh.blocks(each, budget, here):
        trial = try_decoder(decoder, activations, design.only_true(), budget=budget, full=False)
        baseline |= dict(zip(sites, trial.hits[:, 0], strict=True))
    found = _Found(rows=[], probes=[], learning=[], hits=[], embedded=judge.shares(embedding.hits[0, 0]))
    bar = tqdm(total=len(here), desc=f"probing {target.variable}", delay=2, leave=False)
    for sites, activations in own.blocks(each, budget, here):
        trial = try_decoder(decoder, activations, design, budget=budget)
        for number, site in enumerate(sites):
            found.rows.append(_row(plan, judge, trial, number, site, baseline[site], embedding.hits[0, 0]))
            found.hits.append(judge.shares(trial.hits[number, 0]))
            weight, bias = trial.weight[number].cpu(), trial.bias[number].cpu()
            one = SavedProbe(site=site, variable=target.variable, classes=target.classes, weight=weight, bias=bias)
            found.probes.append(one)
            curve = zip(trial.learnt_on.tolist(), trial.learning[number].tolist(), strict=True)
            about = site.columns | {"variable": target.variable}
            found.learning.extend({**about, "n_training": n, "accuracy": level} for n, level in curve)
        bar.update(len(sites))
    bar.close()
    return found


def _row(
    plan: Plan,
    judge: Judge,
    trial: Trial,
    number: int,
    site: Site,
    untrained_hits: np.ndarray,
    embedding_hits: np.ndarray,
) -> dict[str, Any]:
    """The columns of one site, but for the method and the q-value."""
    design, n, n_classes = plan.design, len(plan.design.groups), plan.design.target.n_classes
    hits = trial.hits[number, 0]
    accuracy = judge.interval(hits)
    majority = judge.accuracy(design.base[0]) if n_classes else 0.0
    control, selectivity = np.nan, Interval.undefined()
    if "control" in design.arms:
        arm = design.arms.index("control")
        control = judge.accuracy(trial.hits[number, arm], arm)
        selectivity = judge.difference(hits, trial.hits[number, arm], arm=arm)
    over_base = judge.over_base(hits)
    bits = trial.bits[number]
    return {
        "variable": design.target.variable,
        **site.columns,
        "measure": "accuracy" if n_classes else "variance explained",
        **accuracy.columns("accuracy", "ci"),
        "majority": majority,
        "shuffled": judge.accuracy(trial.hits[number, 1], 1),
        "control": control,
        "control_back": plan.control_back if "control" in design.arms else np.nan,
        **selectivity.columns("selectivity"),
        "untrained": judge.accuracy(untrained_hits),
        **judge.difference(hits, untrained_hits).columns("over_untrained"),
        "embedding": judge.accuracy(embedding_hits),
        **judge.difference(hits, embedding_hits).columns("gain"),
        "description_length": bits,
        "compression": n * np.log2(n_classes) / bits if n_classes else np.nan,
        "half_learnt_on": _half_learnt_on(design, trial, number, accuracy.value, majority),
        "fragility": trial.fragility[number],
        "p_value": float(sign_flip_p_values(over_base[:, None])[0]),
        "strength": trial.strength[number],
        "held_out": plan.held_out,
        "n_pairs": n,
        "n_groups": len(over_base),
        "n_classes": n_classes,
    }


def _half_learnt_on(design: Design, trial: Trial, number: int, accuracy: float, majority: float) -> float:
    """The smallest training set at which half of the final gain over the majority class was reached."""
    if not trial.learning.shape[1] or accuracy <= majority:
        return np.nan
    reached = np.flatnonzero(trial.learning[number] >= (accuracy + majority) / 2)
    whole = len(design.folds) * (design.n_folds - 1) / design.n_folds
    return float(trial.learnt_on[reached[0]]) if len(reached) else float(round(whole))
