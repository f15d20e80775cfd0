"""Time a study's sweep against the same stages asked for one by one, with nothing kept on disk.

    python -m benchmarks.sweep [--sizes 3k,7k] [--keep]

*Shared* is what `interp-emerge run` does in an empty directory, up to its tables: results are cells, activations and
prompts are shared. *Nothing kept*: each stage of each model is called by itself; it loads the model, draws prompts and
records activations whenever they are needed, and computes whatever it needs of other stages. *Handed on*: the same, but
circuits and roles of the last models are given to the stages that follow them, as somebody would who saves these two to
files. All in one process and one thread, in processor time, so that other work on the machine does not count. `--keep`
puts the table into `benchmarks/README.md`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import interp_emerge as ie
from benchmarks.run import README
from interp_emerge.abilities.base import Ability
from interp_emerge.caching.recording import record
from interp_emerge.study.cells import Cells
from interp_emerge.study.engine import do, sweep
from interp_emerge.study.rounds import ROUNDS
from interp_emerge.study.stages.base import Results
from interp_emerge.study.stages.circuit import circuits
from interp_emerge.study.work import Work

START, END = "<!-- sweep -->\n", "<!-- /sweep -->"
HANDED_ON = ("circuit", "roles")


class Forgetting(Cells):
    """Cells that are computed whenever they are asked for, but for those of the stages that are handed on."""

    handed_on: tuple[str, ...] = ()

    def get(self, stage: str, inputs: dict[str, Any], compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        return super().get(stage, inputs, compute) if stage in self.handed_on else compute()

    def get_several(self, stage: str, inputs: dict[str, Any], names: Any, compute: Callable[[], Any]) -> list:
        return [*compute()]

    def get_text(self, stage: str, inputs: dict[str, Any], compute: Callable[[], str]) -> str:
        return compute()

    def get_circuit(self, inputs: dict[str, Any], compute: Callable[[], ie.Circuit]) -> ie.Circuit:
        return super().get_circuit(inputs, compute) if "circuit" in self.handed_on else compute()


class HandingOn(Forgetting):
    """Cells that keep circuits and roles alone."""

    handed_on = HANDED_ON


class NothingShared:
    """Records and draws anew, whenever it is asked."""

    recording = passing = staticmethod(record)

    def sample(self, ability: Ability, model: ie.HookedModel, n: int, seed: int) -> ie.PromptPairs:
        return ability.sample(model, n, seed)


class OneByOne(Work):
    """A study whose stages share nothing."""

    kept: type[Forgetting] = Forgetting

    @cached_property
    def cells(self) -> Cells:
        return self.kept(self.directory / "cells")

    @cached_property
    def store(self) -> Any:
        return NothingShared()

    @cached_property
    def prompts(self) -> Any:
        return NothingShared()


def main() -> None:
    """Print a Markdown table of processor seconds and ratios."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", default="", help="sizes of the bundled family, commas between; empty means all")
    arguments.add_argument("--keep", action="store_true", help="put the table into benchmarks/README.md")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    sizes = tuple(size for size in chosen.sizes.split(",") if size)
    shared = seconds_of(lambda out: shared_sweep(sizes, out))
    rows = [("shared, as `interp-emerge run` does it", shared)]
    for name, kept in (("stages one by one, nothing kept", Forgetting), ("circuits and roles handed on", HandingOn)):
        print(f"{rows[-1][0]}: {rows[-1][1]:.1f} s", file=sys.stderr, flush=True)
        rows.append((name, seconds_of(lambda out, kept=kept: one_by_one(sizes, out, kept))))
    lines = ["| sweep of the bundled family | processor seconds | times the shared sweep |", "|---|---|---|"]
    lines += [f"| {name} | {seconds:.1f} | {seconds / shared:.1f} |" for name, seconds in rows]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.keep:
        before, _, rest = README.read_text().partition(START)
        README.write_text(f"{before}{START}{text}{END}{rest.partition(END)[2]}")


def seconds_of(run: Callable[[Path], None]) -> float:
    """Processor seconds of a sweep in an empty directory."""
    with tempfile.TemporaryDirectory() as directory:
        start = time.process_time()
        run(Path(directory))
        return time.process_time() - start


def work_of(sizes: tuple[str, ...], out: Path, kind: type[Work] = Work) -> Work:
    study = ie.Study(sizes=sizes, out=str(out), device="cpu", threads=1)
    abilities = [study.ability, *study.beside]
    place = {"directory": out, "device": "cpu", "threads": 1}
    return kind(family=study.family, settings=study.settings, ability=study.ability, abilities=abilities, **place)


def shared_sweep(sizes: tuple[str, ...], out: Path) -> None:
    """All stages of all models, as a study runs them."""
    work = work_of(sizes, out)
    results = Results(work)
    with sweep(work) as each:
        for one in ROUNDS:
            each(one, one.keys(work.grid, [*circuits(results)]), results)


def one_by_one(sizes: tuple[str, ...], out: Path, kept: type[Forgetting]) -> None:
    """The same rounds, each done on each model by itself, with models and cells of its own."""
    kind = type("OneByOne", (OneByOne,), {"kept": kept})
    results = Results(work_of(sizes, out, kind))
    for one in ROUNDS:
        for key in one.keys(results.work.grid, [*circuits(results)]):
            do(work_of(sizes, out, kind), one, key, results)


if __name__ == "__main__":
    main()
