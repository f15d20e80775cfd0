"""What it costs that a model is checked: the time that checks take of an EAP run, the first on some pairs and a later.

The clock runs inside the checks, so each share comes from one run. Hooking a model and splitting it are listed apart:
they happen once.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import interp_emerge as ie
from interp_emerge.core import agreement, model
from interp_emerge.families._split import handed

GOAL = 0.05
REPEATS = 5


class Clock:
    """How long some functions ran, those that they call counted once."""

    def __init__(self) -> None:
        self.seconds, self._open = 0.0, 0

    def timed(self, function: Callable) -> Callable:
        """The function, while its time is taken."""

        def run(*args: Any, **kwargs: Any) -> Any:
            begun, self._open = time.perf_counter(), self._open + 1
            try:
                return function(*args, **kwargs)
            finally:
                self._open -= 1
                if not self._open:
                    self.seconds += time.perf_counter() - begun

        return run


@contextmanager
def clocked() -> Iterator[Clock]:
    """While open, the clock takes the time of everything that a run does only to be sure of its numbers."""
    clock = Clock()
    places = (
        (agreement.Agreement, "require"),
        (agreement.Reach, "see"),
        (model.HookedModel, "_notice_changes"),
        (model.HookedModel, "_compare_lengths"),
        (handed.HandedParts, "_run"),
    )
    patches = [patch.object(owner, name, clock.timed(getattr(owner, name))) for owner, name in places]
    for one in patches:
        one.start()
    try:
        yield clock
    finally:
        for one in patches:
            one.stop()


def shares(hf: Any, pairs: ie.PromptPairs) -> tuple[float, float, float]:
    """Seconds of an EAP run, and the shares of it that checks take in the first run on the pairs and in a later one."""
    first, later, whole = [], [], []
    for _ in range(REPEATS):
        with clocked() as clock:
            hooked = ie.hook(hf)
            _ = hooked.decoder
            hooked.decoder.prove_gradients()
            for into in (first, later):
                clock.seconds, begun = 0.0, time.perf_counter()
                ie.score(hooked, pairs, method="eap")
                taken = time.perf_counter() - begun
                into.append(clock.seconds / (taken - clock.seconds))
            whole.append(taken)
    return statistics.median(whole), statistics.median(first), statistics.median(later)


def table(models: dict[str, tuple[Any, ie.PromptPairs]]) -> list[str]:
    """The shares of some models as lines of a Markdown table."""
    lines = [
        "What is checked during a run, as a share of the rest of an `eap` run: weights against those that were hooked, "
        "and the logits of the parts against the model's own, on the lengths and the largest values at hand.",
        "",
        "| model | pairs × tokens | `eap`, s | first run on these pairs | later runs | goal | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (hf, pairs) in models.items():
        whole, first, later = shares(hf, pairs)
        met = "yes" if first <= GOAL else "**no**"
        size = f"{len(pairs)} × {pairs.length}"
        lines.append(f"| {name} | {size} | {whole:.3f} | {first:.1%} | {later:.1%} | at most {GOAL:.0%} | {met} |")
    return lines
