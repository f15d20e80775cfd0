"""Which roles the heads of a circuit play. A label needs both the behaviour and an effect.

1. `role_table` says which heads show all that a role requires: the behaviour.
2. `effects_of_heads` drops all edges that a head writes and runs the rest of the circuit. The effect is the mean over
   pairs of m(C) − m(C∖head), with a sign-flip test and false-discovery rates over the circuit's heads (Benjamini and
   Hochberg, 1995).
3. A head gets a label if it plays the role by `role_table`, and its effect is significant (q < 0.05) and has the role's
   sign: positive for roles that carry the answer, negative for those that work against it, either for those of which
   the source allows both.

If the clean-corrupt gap, or the part of it that the circuit keeps, is not above noise, effects and labels are
undefined. Then the behaviour is not measured either, since scoring the untrained models would cost most of the time for
nothing; `role_table` measures it in any case. `attention_at` shows what the heads attend to on the ability's own
prompts, which most role scores do not look at.

Cost: one circuit run for each head of the circuit and one more, in addition to the cost of the roles.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import bytes_per_prompt, pattern_name, record
from interp_emerge.circuits.roles.table import EVIDENCE, role_table, roles_named
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import without_writers
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.stats.intervals import mean_intervals, not_above_zero
from interp_emerge.stats.significance import SIGNIFICANT, false_discovery, sign_flip_p_values

ROUNDING = 1e-4
"""Differences of a metric below this fraction of its largest magnitude count as zero. In models made by hand, heads
that do nothing give up to 6e-5 in float32, and heads that do something give 1 or more."""
EFFECT_COLUMNS = ["node", "effect", "effect_low", "effect_high", "p_value", "q_value", "effect_note"]
ATTENTION_COLUMNS = ["node", "layer", "index", "position", "attention", "ci_low", "ci_high"]


@checked
def label_heads(
    runs: Runs,
    circuit: Circuit,
    *,
    roles: Iterable[str] | None = None,
    tokens: Sequence[int] | Tensor | None = None,
    orders: Sequence[Sequence[int]] | None = None,
    name_movers: Sequence[str] | None = None,
    table: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row for each head of the circuit and each role.

    Columns of `role_table`, then `effect` in the metric's unit with `effect_low`, `effect_high`, `p_value` and
    `q_value`; `agrees`, whether the effect is significant and has a sign that the role allows; `label`, whether the
    head plays the role too. Both are NA if undefined; then `note` or `lacks` says why. If no effect is defined and no
    table is given, the scores of `role_table` are missing as well.

    Example:
        >>> roles = ["induction", "previous_token"]  # of which `table` is the role_table
        >>> ie.circuits.roles.label_heads(runs, circuit, roles=roles, table=table)

    Args:
        runs: the model and the pairs, for the effects and for roles that need pairs; the pairs are not those that the
            circuit was found on. For its seed see `role_table`.
        circuit: the circuit whose heads are labelled.
        roles: names of roles; by default all.
        tokens: see `role_table`.
        orders: see `role_table`.
        name_movers: see `role_table`.
        table: the result of `role_table` for this model; computed here if left out.

    Raises:
        UnknownNameError: no role or head has the name.
        InputError: the circuit belongs to a graph of another shape, or the table lacks a role or head.
    """
    model, effects = runs.model, effects_of_heads(runs, circuit)
    signs = {role.name: role.expected_sign for role in roles_named(roles)}
    wanted = [*signs]
    if table is None and effects["effect"].isna().all():
        table = _unmeasured(model, circuit, wanted)
    elif table is None:
        table = role_table(
            model,
            roles=wanted,
            pairs=runs.pairs,
            tokens=tokens,
            orders=orders,
            name_movers=name_movers,
            metric=runs.metric,
            seed=runs.seed,
        )
    rows = table[table["node"].isin(circuit.heads) & table["role"].isin(wanted)].reset_index(drop=True)
    if len(rows) != len(circuit.heads) * len(wanted):
        raise InputError(f"the table holds {len(rows)} rows for {len(circuit.heads)} heads and {len(wanted)} roles; "
                         "give the result of role_table for this model and these roles")  # fmt: skip
    rows = rows.merge(effects, on="node", how="left", validate="many_to_one")
    sign, wanted_sign = np.sign(rows["effect"]), rows["role"].map(signs)
    agrees = pd.array((rows["q_value"] < SIGNIFICANT) & (wanted_sign.isna() | (sign == wanted_sign)), dtype="boolean")
    agrees[rows["effect"].isna().to_numpy()] = pd.NA
    notes = ["; ".join(filter(None, both)) for both in zip(rows["note"], rows["effect_note"], strict=True)]
    rows = rows.assign(agrees=agrees, label=rows["plays"] & agrees, note=notes)
    return rows.drop(columns="effect_note")


def _unmeasured(model: HookedModel, circuit: Circuit, roles: Iterable[str]) -> pd.DataFrame:
    """The table of roles of the circuit's heads, without scores."""
    heads = [node for node in model.graph.nodes(["head"]) if node.name in circuit.heads]
    rows = [(head.name, head.layer, head.index, role) for role in roles for head in heads]
    table = pd.DataFrame(rows, columns=pd.Index(["node", "layer", "index", "role"]))
    before = dict.fromkeys(("score", "ci_low", "ci_high", "baseline"), np.nan)
    unknown = pd.array([pd.NA] * len(rows), dtype="boolean")
    evidence = dict.fromkeys(EVIDENCE, np.nan)
    note = "role not measured, since no label is possible"
    return table.assign(**before, clears_baseline=unknown, **evidence, plays=unknown, lacks="", note=note)


def effects_of_heads(runs: Runs, circuit: Circuit) -> pd.DataFrame:
    """The effect of each head on the circuit's metric, one row a head.

    Columns `node`, `effect` (m(C) − m(C∖head), mean over pairs), `effect_low`, `effect_high`, `p_value`, `q_value` and
    `effect_note`, the reason if the effect is undefined.

    Raises:
        InputError: the circuit belongs to a graph of another shape.
    """
    runs.model.require_graph(circuit.graph)
    without = [without_writers(circuit.kept, [circuit.graph.writer_names.index(head)]) for head in circuit.heads]
    found, *parts = runs.evaluations([circuit.kept, *without])
    reason, n = "", len(circuit.heads)
    if not found.defined:
        reason = f"effect undefined: clean-corrupt gap {found.gap.value:.3g} {found.why_undefined}"
    elif why := not_above_zero(kept := found.metric - found.corrupt):
        reason = f"effect undefined: the part of the gap that the circuit keeps, {kept.mean():.3g}, {why}"
    unknown = np.full(n, np.nan)
    mean = low = high = p_values = unknown
    if n and not reason:
        losses = np.stack([found.metric - part.metric for part in parts], 1)
        mean, low, high = mean_intervals(losses)
        p_values = p_values_beyond_rounding(losses, scale=np.abs(found.metric).max())
    columns = (
        np.array(circuit.heads, dtype=object),
        mean,
        low,
        high,
        p_values,
        false_discovery(p_values),
        [reason] * n,
    )
    return pd.DataFrame(dict(zip(EFFECT_COLUMNS, columns, strict=True)))


def p_values_beyond_rounding(values: np.ndarray, *, scale: float) -> np.ndarray:
    """Sign-flip p-values of the columns of differences of a metric; differences within rounding count as zero.

    `scale` is the largest magnitude of the metric. Rounding errors can have the same sign on every pair, and would then
    be called significant.
    """
    return sign_flip_p_values(np.where(np.abs(values) > ROUNDING * scale, values, 0))


@checked
@torch.no_grad()
def attention_at(
    model: HookedModel,
    pairs: PromptPairs,
    circuit: Circuit,
    *,
    prompts: str = "clean",
    budget: int | None = None,
) -> pd.DataFrame:
    """Attention of the circuit's heads from the last position to each named position of the pairs.

    One row a head and position: `node`, `layer`, `index`, `position`, `attention` (fraction, mean over pairs),
    `ci_low`, `ci_high`.

    Example:
        >>> ie.circuits.roles.attention_at(model, pairs, circuit)

    Args:
        model: the model to run.
        pairs: pairs with named positions.
        circuit: the circuit whose heads are looked at.
        prompts: the prompts to run, `clean` or `corrupt`.
        budget: bytes that a chunk of prompts may need; by default a constant for the kind of device.

    Raises:
        InputError: the pairs name no position, the circuit is of another graph, or `prompts` is neither of the two.
    """
    model.require_graph(circuit.graph)
    require_pairs(model, pairs)
    if not pairs.positions:
        raise InputError("the pairs name no positions; give PromptPairs(positions={name: one index a pair})")
    if prompts not in ("clean", "corrupt"):
        raise InputError(f"prompts={prompts!r} is unknown; give 'clean' or 'corrupt'")
    heads = [node for node in model.graph.nodes(["head"]) if node.name in circuit.heads]
    parts = []
    for _, group in pairs.by_length():
        tokens = group.clean if prompts == "clean" else group.corrupt
        places = torch.stack([*group.positions.values()], 1).to(model.device)
        at_once = items_that_fit(bytes_per_prompt(model, group.length), len(group), device=model.device, budget=budget)
        for rows, at in zip(tokens.split(at_once), places.split(at_once), strict=True):
            recording = record(model, rows, patterns=True)
            last = [recording.activations[pattern_name(head.layer)][:, head.index, -1] for head in heads]
            found = torch.stack([row.gather(1, at) for row in last], 1) if heads else at.new_zeros(len(at), 0)
            parts.append(found.flatten(1).cpu().double().numpy())
    mean, low, high = mean_intervals(pairs.in_order(parts))
    rows = [(head.name, head.layer, head.index, place) for head in heads for place in pairs.positions]
    frame = pd.DataFrame(rows, columns=pd.Index(ATTENTION_COLUMNS[:4]))
    return frame.assign(attention=mean, ci_low=low, ci_high=high)
