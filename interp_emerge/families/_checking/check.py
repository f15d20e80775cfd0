"""Check the integrity of a family's checkpoints, one after the other.

1. `_read` loads each checkpoint of a run in turn and keeps what the rules need (`look.Look`).
2. `_of_content`, `_of_neighbours` and `_of_start` compare the checkpoints of a run with each other (`rules`).
3. `_of_logits` compares the last checkpoint of a run with plain transformers and with TransformerLens's bridge.

Cost: every checkpoint is loaded once, and the last of a run a second time by plain transformers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, InterpEmergeError, ModelError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.whole import run_whole
from interp_emerge.families._checking import rules
from interp_emerge.families._checking.look import Look, look_at
from interp_emerge.families._checking.table import CHECKS, CheckVerdict
from interp_emerge.families._disk.budget import DiskBudget
from interp_emerge.families._disk.memory import of_model
from interp_emerge.families.base import Family

SAME_LOGITS = 1e-3
"""Largest difference of logits that counts as rounding, in standard deviations of the logits (float32; 1e-6 to 1e-4
were measured on models that are split, 1 on parts that were put together wrongly)."""
SAME_IN_HALF = 0.3
"""The same in half precision, whose own rounding moves logits of trained models by up to 0.23 standard deviations."""
LENGTH = 12
LAST_STEP = "last"
Steps = Sequence[int | str] | str
"""Training steps, of which one may be `LAST_STEP`; or that alone."""
Runs = dict[int, dict[int, Look]]
"""What was read of the runs of one size, by seed and step."""


@checked
def check(
    family: Family | HookedModel,
    *,
    sizes: Sequence[str] = (),
    steps: Steps = (),
    seeds: Sequence[int] = (),
    device: str = "",
    dtype: str = "",
    disk: DiskBudget | None = None,
) -> pd.DataFrame:
    """Tests of checkpoints, one row for each checkpoint and test, in the columns of `CHECKS`.

    Neighbours are those among the chosen steps. Rows of the same test are comparable between runs; a test that needs
    more checkpoints than there are says so (`not tested`).

    Args:
        family: a family, or one model.
        sizes: names of sizes; empty means all.
        steps: training steps, of which one may be `last` for the last one of each run, or that alone; empty means all.
        seeds: seeds of training runs; empty means all.
        device: device that holds each model.
        dtype: dtype in which each is loaded; empty means float32.
        disk: what may be kept on disk of checkpoints that are downloaded; without one all are kept.

    Raises:
        UnknownNameError: the family has no such size, step or seed.
        InputError: `steps` has a word other than `last`.
        ModelError: a checkpoint is not here and cannot be downloaded.

    Example:
        >>> table = ie.families.check(ie.load_family("miniature"), sizes=["3k"])
        >>> table[table["verdict"] == "failed"]
    """
    given = of_model(family, name="checked") if isinstance(family, HookedModel) else family
    rows: list[dict[str, Any]] = []
    chosen = [*chosen_runs(given, sizes, steps, seeds)]
    how = {"device": device, "dtype": "" if isinstance(family, HookedModel) else dtype}
    with tqdm(total=sum(len(run) for *_, run in chosen), desc="check", unit="checkpoint", delay=2) as progress:
        for size in dict.fromkeys(one for one, _, _ in chosen):
            runs: Runs = {}
            for _, seed, run in [one for one in chosen if one[0] == size]:
                runs[seed] = {}
                for step in run:
                    if given.downloads:
                        given.fetch(size, step, seed, disk=disk)
                    runs[seed] |= _read(given, (size, step, seed), rows, is_last=step == run[-1], how=how)
                    progress.update()
            _of_content(size, runs, rows)
            for seed, looks in runs.items():
                _of_neighbours(size, seed, looks, rows)
                _of_start(size, seed, runs, rows)
    frame = pd.DataFrame(rows, columns=[*CHECKS.columns])
    frame["known"] = [
        "; ".join(map(str, given.faults(*at))) for at in zip(frame["size"], frame["step"], frame["seed"], strict=True)
    ]
    order = pd.DataFrame({"size": [given.sizes.index(size) for size in frame["size"]], **frame[["seed", "step"]]})
    return CHECKS.shaped(frame.loc[order.sort_values(["size", "seed", "step"], kind="stable").index])


def chosen_runs(
    family: Family, sizes: Sequence[str], steps: Steps, seeds: Sequence[int]
) -> Iterator[tuple[str, int, list[int]]]:
    """Size, seed and steps of each chosen run."""
    for size in sizes:
        family.seeds(size)
    runs = [(size, seed) for size in family.sizes if not sizes or size in sizes for seed in family.seeds(size)]
    known = sorted({seed for _, seed in runs})
    if unknown := [seed for seed in seeds if seed not in known]:
        raise UnknownNameError(f"seed of {family.name}", unknown[0], known)
    every = {run: family.steps(*run) for run in runs if not seeds or run[1] in seeds}
    chosen = (steps,) if isinstance(steps, str) else tuple(steps)
    if words := [step for step in chosen if isinstance(step, str) and step != LAST_STEP]:
        raise InputError(f"steps: {words[0]!r} is not a step; give numbers, 'last', or both")
    known = sorted({step for several in every.values() for step in several})
    if unknown := [step for step in chosen if step != LAST_STEP and step not in known]:
        raise UnknownNameError(f"step of {family.name}", unknown[0], known)
    for (size, seed), several in every.items():
        wanted = {*chosen, *(several[-1:] if LAST_STEP in chosen else [])}
        yield size, seed, [step for step in several if not chosen or step in wanted]


def _row(size: str, step: int, seed: int, test: str, failed: bool | None, detail: str, **more: Any) -> dict[str, Any]:
    verdicts = {True: CheckVerdict.FAILED, False: CheckVerdict.PASSED, None: CheckVerdict.NOT_TESTED}
    row = {"size": size, "step": step, "seed": seed, "test": test, "verdict": str(verdicts[failed]), "detail": detail}
    return {**row, "value": more.get("value", np.nan), "limit": more.get("limit", np.nan)}


def _read(
    family: Family, at: tuple[str, int, int], rows: list[dict[str, Any]], *, is_last: bool, how: Mapping[str, str]
) -> dict[int, Look]:
    """What is kept of a checkpoint, by step; empty if it cannot be loaded."""
    try:
        model = family.load(*at, **how)
    except ModelError as error:
        not_finite = "not finite" in str(error)
        rows.append(_row(*at, "loads", not not_finite, "" if not_finite else str(error)))
        rows.append(_row(*at, "finite", True if not_finite else None, str(error) if not_finite else "it does not load"))
        return {}
    rows += [_row(*at, "loads", False, ""), _row(*at, "finite", False, "")]
    if is_last:
        _of_logits(family, at, model, rows)
    return {at[1]: look_at(model, family.held_out_text())}


def _of_content(size: str, runs: Runs, rows: list[dict[str, Any]]) -> None:
    """Whether weights occur twice: a whole checkpoint, or some matrices of one."""
    first: dict[str, str] = {}
    for seed, looks in runs.items():
        for step, look in looks.items():
            name = f"step {step} of seed {seed}" if len(runs) > 1 else f"step {step}"
            other = first.setdefault(look.whole, name)
            copied = other != name
            rows.append(_row(size, step, seed, "distinct", copied, f"has the weights of {other}" if copied else ""))
        for step, (names, other) in _borrowed(looks).items():
            found = f"as at step {other}: {_some(names)}" if names else ""
            rows.append(_row(size, step, seed, "own tensors", bool(names), found, value=len(names), limit=1))


def _borrowed(looks: Mapping[int, Look]) -> dict[int, tuple[list[str], int]]:
    """By step, matrices with the bytes of another step, of which other matrices differ; and that step.

    Matrices that are the same at every step are frozen, not borrowed. Of two steps that share matrices the faulty one
    is the one whose other matrices lie farther from the shared ones' neighbours; both are named.
    """
    frozen = {name for name in _matrices(looks) if len({look.hashes.get(name) for look in looks.values()}) == 1}
    result: dict[int, tuple[list[str], int]] = {}
    for step, look in looks.items():
        worst: tuple[list[str], int] = ([], step)
        for other, theirs in looks.items():
            if other == step or look.whole == theirs.whole:
                continue
            shared = [name for name in _matrices(looks) if name not in frozen]
            shared = [name for name in shared if look.hashes.get(name) == theirs.hashes.get(name)]
            worst = max(worst, (shared, other), key=lambda one: len(one[0]))
        result[step] = worst
    return result


def _matrices(looks: Mapping[int, Look]) -> list[str]:
    return [*next(iter(looks.values())).samples] if looks else []


def _of_neighbours(size: str, seed: int, looks: Mapping[int, Look], rows: list[dict[str, Any]]) -> None:
    """Whether weights and loss of a checkpoint fit those before and after it."""
    steps = [*looks]
    excess = rules.excess_loss([look.loss for look in looks.values()])
    few = f"the run has {len(steps)} checkpoints here, and the noise of its losses needs {rules.LEAST}"
    unknown = "a held-out loss of the run is undefined"
    for place, step in enumerate(steps):
        at = (size, step, seed)
        if place in (0, len(steps) - 1):
            end = "it has one neighbour only" if len(steps) > 1 else "it has no neighbour"
            rows += [_row(*at, test, None, end) for test in ("between neighbours", "loss in line")]
            continue
        before, after = looks[steps[place - 1]], looks[steps[place + 1]]
        ratios = rules.farther_than_neighbours(before.samples, looks[step].samples, after.samples)
        foreign = sorted(name for name, ratio in ratios.items() if ratio > rules.FARTHER_LIMIT)
        between = f"steps {steps[place - 1]} and {steps[place + 1]}"
        found = f"far from {between}: {_some(foreign)}" if foreign else ""
        worst = max(ratios.values(), default=np.nan)
        rows.append(_row(*at, "between neighbours", bool(foreign), found, value=worst, limit=rules.FARTHER_LIMIT))
        out = float(excess[place])
        if np.isnan(out):
            rows.append(_row(*at, "loss in line", None, few if len(steps) < rules.LEAST else unknown))
            continue
        told = f"loss {looks[step].loss:.3f}, at {between} {before.loss:.3f} and {after.loss:.3f}"
        rows.append(_row(*at, "loss in line", out > rules.LOSS_LIMIT, told, value=out, limit=rules.LOSS_LIMIT))


def _of_start(size: str, seed: int, runs: Runs, rows: list[dict[str, Any]]) -> None:
    """Whether a run descends from its step 0."""
    looks = runs[seed]
    later = [step for step in looks if step > 0 and looks[step].whole != looks.get(0, looks[step]).whole]
    if 0 not in looks or len(looks) < 2:
        return
    at = (size, 0, seed)
    if not later:
        rows.append(_row(*at, "descends from step 0", None, "no later checkpoint has other weights"))
        return
    score = rules.descent(looks[0].samples, looks[later[0]].samples)
    unrelated = score < rules.DESCENT_LIMIT
    other = {
        one: rules.descent(several[0].samples, looks[later[0]].samples)
        for one, several in runs.items()
        if one != seed and 0 in several
    }
    fits = [one for one, theirs in other.items() if theirs >= rules.DESCENT_LIMIT]
    found = f"step {later[0]} is no more similar to it than to an unrelated start"
    found += f"; it descends from step 0 of seed {fits[0]}" if fits else ""
    told = found if unrelated else f"compared with step {later[0]}"
    rows.append(_row(*at, "descends from step 0", unrelated, told, value=score, limit=rules.DESCENT_LIMIT))


@torch.no_grad()
def _of_logits(family: Family, at: tuple[str, int, int], model: HookedModel, rows: list[dict[str, Any]]) -> None:
    """Whether this package's parts and TransformerLens's bridge give the logits of plain transformers."""
    generator = torch.Generator().manual_seed(0)
    length = min(LENGTH, model.n_context or LENGTH)
    tokens = torch.randint(model.d_vocab, (2, length), generator=generator).to(model.device)
    plain, how = _plain_logits(family, at, model, tokens)
    limit = SAME_LOGITS if model.dtype == torch.float32 else SAME_IN_HALF

    def compare(test: str, run: Any) -> None:
        try:
            difference = float((run().float() - plain).abs().max() / plain.std())
        except Exception as error:  # noqa: BLE001 (whatever another library raises on an architecture it lacks)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            rows.append(_row(*at, test, None, reason))
            return
        rows.append(_row(*at, test, difference > limit, how, value=difference, limit=limit))

    compare("plain transformers", lambda: _own_logits(model, tokens))
    compare("bridge", lambda: model.bridge(tokens))


def _own_logits(model: HookedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of the model's parts where it is split, else of the whole model."""
    try:
        return model.run_with_cache(tokens, names=[])[0]
    except InterpEmergeError:
        return torch.cat([logits for _, logits in model.logits_in_chunks(tokens, last=None)])


def _plain_logits(
    family: Family, at: tuple[str, int, int], model: HookedModel, tokens: torch.Tensor
) -> tuple[torch.Tensor, str]:
    """Logits of plain transformers, and which model they are of."""
    directory = family.files(*at)
    if directory is None:
        return run_whole(model.hf, tokens).float(), "compared with the model in memory"
    from transformers import AutoModelForCausalLM

    plain: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=model.dtype, local_files_only=True)
    return run_whole(plain.eval().to(model.device), tokens).float(), "compared with the files, loaded anew"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:1], *([f"{len(names) - 1} more"] if len(names) > 1 else [])])
