"""Find the checkpoints below a directory: which folders hold one, and the size, seed and step of each.

1. `_folders_with_a_model`: folders without weights, or whose configuration is not a model's, are ignored.
2. `_without_links`: a folder and the links to it count once.
3. `_read`: the folder's name (`_disk/names.py`) and the trainer's own record give size, seed and step.
4. `_settle_unnamed`: a folder whose name gives no step is a copy of one whose name does, or the only one of its run.
5. `_require_one_run`: checkpoints of a size have one shape and one stage; tokens and epochs never fall with the step.

A directory that could be read in two ways is refused. Cost: each configuration is read. Weights are compared, up to
their first difference, only where a folder without a step in its name could be a copy.
"""

import filecmp
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from interp_emerge.core.errors import ModelError
from interp_emerge.families._disk.loading import WEIGHTS, count_parameters_of, has_weights
from interp_emerge.families._disk.names import WANTED, Named, read_names

CONFIGS = ["config.json", "*/config.json", "*/*/config.json", "*/*/*/config.json"]
UNFINISHED = re.compile(r"\..*|tmp-checkpoint.*")
"""Hidden folders, and folders that a Trainer has not finished writing."""
NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state|adapter).*", re.IGNORECASE)
"""Files of a Trainer that look like weights."""
NOT_SHAPE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache")
"""Fields of a configuration that may differ between checkpoints of one run."""
TRAINER_STATE = "trainer_state.json"
Key = tuple[str, int, int]
"""Size, seed and step."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder with a model, and what is known about it."""

    path: Path
    size: str
    named: Named
    step: int | None
    """None if neither the name nor a trainer's record gives it."""
    n_parameters: int = 0

    @property
    def seed(self) -> int:
        return self.named.seed or 0

    @property
    def key(self) -> Key:
        return self.size, self.seed, self.step or 0

    @property
    def is_named(self) -> bool:
        return self.named.step is not None


def find_checkpoints(root: Path) -> dict[Key, Checkpoint]:
    """Every checkpoint below a directory, by size, seed and step. No two sizes have the same number of parameters.

    Raises:
        ModelError: there is none, one is not a language model, or the size, seed or step of one is not clear.
    """
    paths = _folders_with_a_model(root)
    if not paths:
        raise ModelError(f"{root} holds no model; put a config.json into it, or below it into SIZE/, stepN/, "
                         "SIZE/stepN/ or SIZE/seedK/stepN/")  # fmt: skip
    read = _counted([_read(root, path) for path in _without_links(root, paths)])
    found: dict[Key, Checkpoint] = {}
    for one in _settle_unnamed(read):
        if other := found.get(one.key):
            raise ModelError(f"{other.path} and {one.path} are both step {one.key[2]} of one model; "
                             "name one of them stepN")  # fmt: skip
        found[one.key] = one
    _require_one_run([found[key] for key in sorted(found)])
    _require_sizes([*found.values()])
    return found


def _folders_with_a_model(root: Path) -> list[Path]:
    """Folders with a configuration; if some hold a model, only these and the folders named like a step."""
    every = sorted(config.parent for pattern in CONFIGS for config in root.glob(pattern))
    every = [path for path in every if not any(UNFINISHED.fullmatch(part) for part in path.relative_to(root).parts)]
    models = [path for path in every if _holds_weights(path) and _is_transformers(path)]
    if not models:
        return every
    ignored = [path for path in every if path not in models and not _is_a_step(root, path)]
    for path in ignored:
        log.info("%s is ignored: it has a config.json, but no model", path)
    return [path for path in every if path not in ignored]


def _holds_weights(path: Path) -> bool:
    files = (file.name for pattern in ("*.safetensors", "*.bin", "*.pt", "*.pth") for file in path.glob(pattern))
    return any(not NO_WEIGHTS.fullmatch(name) for name in files)


def _is_transformers(path: Path) -> bool:
    """Whether a configuration could be a model's. One that cannot be read counts, and is refused later."""
    config = _json(path / "config.json")
    return not isinstance(config, dict) or "model_type" in config or "architectures" in config


def _is_a_step(root: Path, path: Path) -> bool:
    try:
        return read_names(path.relative_to(root).parts).step is not None
    except ValueError:
        return False


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _without_links(root: Path, paths: Sequence[Path]) -> list[Path]:
    """One path to each folder: the path that names a step, or else the folder itself rather than a link to it."""
    places: dict[Path, list[Path]] = {}
    for path in paths:
        places.setdefault(path.resolve(), []).append(path)
    kept = []
    for real, several in places.items():
        steps = [path for path in several if _is_a_step(root, path)]
        if len({read_names(path.relative_to(root).parts).step for path in steps}) > 1:
            raise ModelError(f"{steps[0]} and {steps[1]} are the same folder under two steps; remove one of them")
        kept.append(min(steps or several, key=lambda path: (path != real, len(path.parts))))
    return sorted(kept)


def _read(root: Path, path: Path) -> Checkpoint:
    try:
        named = read_names(path.relative_to(root).parts)
    except ValueError as error:
        raise ModelError(f"{path} {error}") from error
    recorded = _recorded_step(path)
    if None not in (named.step, recorded) and named.step != recorded:
        raise ModelError(f"{path} is named as step {named.step}, but its {TRAINER_STATE} says step {recorded}; "
                         "rename it, or remove that file")  # fmt: skip
    step = recorded if named.step is None else named.step
    if step is None and (named.epoch is not None or named.tokens is not None):
        counted = "an epoch" if named.tokens is None else "a number of tokens"
        raise ModelError(f"{path} names {counted} but not the number of optimiser steps by then; {WANTED}")
    return Checkpoint(path=path, size=named.size or root.name, named=named, step=step)


def _recorded_step(path: Path) -> int | None:
    """The step that a Trainer recorded in a checkpoint's folder; None without a record."""
    if not (path / TRAINER_STATE).is_file():
        return None
    state = _json(path / TRAINER_STATE)
    step = state.get("global_step") if isinstance(state, dict) else None
    if not isinstance(step, int) or step < 0:
        raise ModelError(f"{path / TRAINER_STATE} has no number 'global_step'; correct it, or remove that file")
    return step


def _counted(read: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints with their numbers of parameters, counted once for each shape in the configurations."""
    known: dict[str, int] = {}
    counted = []
    for one in read:
        config = _json(one.path / "config.json")
        shape = {name: config[name] for name in config if name not in NOT_SHAPE} if isinstance(config, dict) else config
        key = json.dumps(shape, sort_keys=True)
        if key not in known:
            known[key] = count_parameters_of(one.path)
        counted.append(replace(one, n_parameters=known[key]))
    return counted


def _settle_unnamed(read: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints without copies. One without a step must be the only checkpoint of its run."""
    named = [one for one in read if one.is_named]
    settled = []
    for one in read:
        if not one.is_named and (other := _copied(one, named)):
            log.info("%s is ignored: it holds the weights of %s", one.path, other.path)
            continue
        others = [other for other in read if other is not one and (other.size, other.seed) == (one.size, one.seed)]
        if one.step is None and others:
            raise ModelError(f"{one.path} holds a model of the same run as {others[0].path}, but nothing says at which "
                             "step it was saved; move it to a folder named stepN")  # fmt: skip
        settled.append(one)
    return settled


def _copied(one: Checkpoint, named: Iterable[Checkpoint]) -> Checkpoint | None:
    """The checkpoint that holds the same weights as this one, file by file; None without one."""
    return next((other for other in named if _same_weights(one, other)), None)


def _same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    if one.n_parameters != other.n_parameters or not has_weights(one.path):
        return False
    ours, theirs = (sorted(path.name for path in at.path.glob(WEIGHTS)) for at in (one, other))
    return ours == theirs and all(filecmp.cmp(one.path / name, other.path / name, shallow=False) for name in ours)


def _require_one_run(ordered: Sequence[Checkpoint]) -> None:
    """Raise a `ModelError` unless checkpoints of a size share shape and stage, and those of a run are in order."""
    for one, later in pairwise(ordered):
        if one.size != later.size:
            continue
        both = f"{one.path} and {later.path}"
        if one.n_parameters != later.n_parameters:
            raise ModelError(f"{both} are named as checkpoints of one size, but have {one.n_parameters} and "
                             f"{later.n_parameters} parameters; {WANTED}")  # fmt: skip
        if one.named.stage != later.named.stage:
            raise ModelError(f"{both} are of different stages of training, and each stage counts its own steps; "
                             "put the checkpoints of each stage into a directory of their own")  # fmt: skip
        if one.seed == later.seed:
            _require_order(one, later)


def _require_order(one: Checkpoint, later: Checkpoint) -> None:
    for what in ("epoch", "tokens"):
        before, after = getattr(one.named, what), getattr(later.named, what)
        if None not in (before, after) and before > after:
            raise ModelError(f"{later.path} is named as a later step than {one.path}, but with fewer "
                             f"{what.rstrip('s')}s; name them stepN, with steps counted from the start of "
                             "training")  # fmt: skip


def _require_sizes(found: Sequence[Checkpoint]) -> None:
    """Raise a `ModelError` if two sizes have the same number of parameters: neither would be the smaller one."""
    example = {one.size: one for one in found}
    for one, other in combinations(example.values(), 2):
        if one.n_parameters == other.n_parameters:
            raise ModelError(f"{one.path} and {other.path} have the same number of parameters ({one.n_parameters}), so "
                             "they are not two sizes; name steps or seeds of one model SIZE/stepN or SIZE/seedK/stepN, "
                             "or load each model from its own directory")  # fmt: skip
