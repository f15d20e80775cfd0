"""What this machine has: packages, devices, caches, the hub, optional extras."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from huggingface_hub import constants

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InterpEmergeError
from interp_emerge.core.memory import format_bytes
from interp_emerge.families._disk.network import why_offline
from interp_emerge.families.base import Family

PACKAGES = ("interp-emerge", "torch", "transformers", "transformer-lens", "huggingface_hub", "numpy", "pandas")
EXTRAS = {
    "anywidget": "live widgets in notebooks",
    "gguf": "reads GGUF files",
    "accelerate": "spreads a model over several devices",
    "peft": "adapters in memory",
}
"""Optional packages, and what each is for."""


@checked
def examine_machine(family: Family | None = None) -> pd.DataFrame:
    """Versions, devices, caches, whether the hub answers, and optional packages; a family adds what of it is cached.

    Example:
        >>> ie.families.examine_machine()

    Returns:
        Columns `topic`, `name`, `value`, one row for each thing.
    """
    rows: list[tuple[str, str, Any]] = [("python", "version", platform.python_version())]
    rows += [("packages", name, _version(name)) for name in PACKAGES]
    rows += [("extras", name, f"{_version(name)} ({use})") for name, use in EXTRAS.items()]
    rows += [("devices", "processors", os.cpu_count()), ("devices", "threads of torch", torch.get_num_threads())]
    rows += [("devices", name, value) for name, value in _devices()]
    cache = Path(constants.HF_HUB_CACHE)
    rows += [("hub", "address", constants.ENDPOINT), ("hub", "can be reached", why_offline() or "yes")]
    rows += [("hub", "cache", str(cache)), ("hub", "cache holds", _held(cache))]
    if family is not None:
        rows += [(family.name, name, value) for name, value in _cached(family)]
    return pd.DataFrame(rows, columns=["topic", "name", "value"]).astype({"value": str})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> list[tuple[str, str]]:
    found = [
        (f"cuda:{n}", f"{torch.cuda.get_device_name(n)}, {format_bytes(torch.cuda.mem_get_info(n)[1])}")
        for n in range(torch.cuda.device_count())
    ]
    return found or [("GPU", "none")]


def _held(cache: Path) -> str:
    """Repositories and bytes in the hub's cache; a content that several revisions link to counts once."""
    repositories = [path for path in cache.glob("models--*") if path.is_dir()] if cache.is_dir() else []
    paths = (path for repository in repositories for path in repository.rglob("*"))
    size = sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())
    return f"{len(repositories)} models, {format_bytes(size)}"


def _cached(family: Family) -> list[tuple[str, str]]:
    """By size, how many checkpoints of a family are on this machine, and what the last one would bring."""
    rows = []
    for size in family.sizes:
        try:
            runs = {seed: family.steps(size, seed) for seed in family.seeds(size)}
            total = sum(map(len, runs.values()))
            here = sum(family.is_here(size, step, seed) for seed, steps in runs.items() for step in steps)
            told = f"{here} of {total} checkpoints are here"
            if here < total:
                told += f"; the last one of seed 0 would download {format_bytes(family.bytes_to_download(size))}"
        except InterpEmergeError as error:
            told = str(error)
        rows.append((size, told))
    return rows
