"""How time and memory of edge attribution grow with the number of pairs and of layers."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

import interp_emerge as ie

PAIRS = (8, 16, 32, 64, 128)
LAYERS = (3, 6, 12)


def growth(build: Callable[[int], ie.HookedModel], seconds: Callable[[Callable[[], object], int], float]) -> list[str]:
    """Lines of a Markdown table: time against pairs and layers with the exponent of the best power law, and memory."""
    model = build(6)
    by_pairs = [seconds(lambda n=n: ie.score(model, pairs_of(model, n), method="eap"), 3) for n in PAIRS]
    memory = [peak_of(n) for n in PAIRS]
    by_layers = []
    for n_layers in LAYERS:
        deep = build(n_layers)
        by_layers.append(seconds(lambda deep=deep: ie.score(deep, pairs_of(deep, 16), method="eap"), 3))
    return [
        "| `eap` | at | seconds | exponent |",
        "|---|---|---|---|",
        _line("pairs, 6 layers", PAIRS, by_pairs),
        _line("layers, 16 pairs", LAYERS, by_layers),
        "",
        "| `eap`, pairs | " + " | ".join(map(str, PAIRS)) + " |",
        "|" + "---|" * (len(PAIRS) + 1),
        "| peak memory beside the model, MiB | " + " | ".join(f"{size / 2**20:.0f}" for size in memory) + " |",
    ]


def pairs_of(model: ie.HookedModel, n: int) -> ie.PromptPairs:
    """Random prompts."""
    generator = torch.Generator().manual_seed(n)
    clean, corrupt = (torch.randint(10, model.d_vocab, (n, 16), generator=generator) for _ in range(2))
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=torch.full((n,), 7), foil=torch.full((n,), 8))


def peak_of(n_pairs: int) -> int:
    """Bytes by which scoring raises the resident memory of a fresh process (Linux: the kernel's high-water mark)."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, n_pairs).result()


def _peak(n_pairs: int) -> int:
    from benchmarks.run import build

    model = build("70M")
    ie.score(model, pairs_of(model, 1), method="eap")
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    ie.score(model, pairs_of(model, n_pairs), method="eap")
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024


def _line(what: str, counts: tuple[int, ...], times: list[float]) -> str:
    exponent = np.polyfit(np.log(counts), np.log(times), 1)[0]
    figures = ", ".join(f"{count}: {taken:.2f}" for count, taken in zip(counts, times, strict=True))
    return f"| time | {what} | {figures} | {exponent:.2f} |"
