"""A small study that tests of several files look at, and one that is started to be killed."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import interp_emerge as ie

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
"""The fixture `made_once`: takes a name and what fills a directory, and returns the directory."""
SETTINGS: dict[str, Any] = {
    "sizes": ("3k", "7k"),
    "steps": (0, 750, 5000),
    "seeds": (0,),
    "n_measured": 32,
    "n_pairs": 12,
    "n_random": 5,
    "n_resamples": 10,
    "n_ablations": 3,
    "n_probed": 128,
    "probed_layers": 1,
    "steps_of_integration": 2,
}
"""Two sizes with three steps each, of which the larger has a circuit."""


def run(out: Path, **settings: Any) -> Path:
    """Runs a study as `interp-emerge run` does; returns its report."""
    return ie.Study(out=str(out), **settings).run()


def small_study(out: Path) -> Path:
    return run(out, **SETTINGS)


def ready_processes() -> ForkServerContext:
    """Starts processes that have imported what a study needs, which otherwise takes each of them five seconds."""
    context = multiprocessing.get_context("forkserver")
    modules = ("interp_emerge.study.study", "transformers.models.gpt_neox.modeling_gpt_neox", "tests.studies")
    context.set_forkserver_preload([*modules])
    return context
