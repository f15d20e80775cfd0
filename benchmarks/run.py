"""Time the engine beside TransformerLens and beside bare forward passes, and print a table of ratios.

Random weights of Pythia's shapes; both sides get the same model, pairs and threads in one process, in turn, so the
ratios hold on a noisy machine. `--keep` puts the table into `benchmarks/README.md`.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import interp_emerge as ie
from benchmarks.growth import growth
from benchmarks.lens import Lens
from benchmarks.proof import table as table_of_checks

PAIRS, LENGTH, THREADS = 16, 16, 2
SHAPES: dict[str, dict[str, int]] = {
    "70M": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6, "num_attention_heads": 8},
    "160M": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}
README = Path(__file__).parent / "README.md"
START, END = "<!-- measured -->\n", "<!-- /measured -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: `ours` and `theirs` in seconds, and the bound that their ratio is held to."""

    shape: str
    what: str
    against: str
    ours: float
    theirs: float
    faster: float | None = None
    """At least so many times faster than the other side."""
    within: float | None = None
    """At most so many times as long as the other side."""
    arithmetic: float | None = None
    """How many times as many floating-point operations the other side does, where that was counted."""
    products: float | None = None
    """Fraction of our time that matrix products take, where that was profiled."""

    def cells(self) -> list[str]:
        """The row as the table shows it."""
        ratio = self.theirs / self.ours if self.within is None else self.ours / self.theirs
        word = "faster" if self.within is None else "of them"
        met = ratio >= self.faster if self.faster is not None else ratio <= (self.within or 0)
        goal = f"at least {self.faster:g}×" if self.faster is not None else f"at most {self.within:g}"
        sides = [f"{self.ours:.3f}", f"{self.theirs:.3f}"]
        counted = "" if self.arithmetic is None else f"{self.arithmetic:.1f}×"
        profiled = "" if self.products is None else f"{100 * self.products:.0f}%"
        verdict = "yes" if met else "**no**"
        return [self.shape, self.what, self.against, *sides, f"{ratio:.1f}× {word}", counted, profiled, goal, verdict]


def main() -> None:
    """Print a Markdown table; one line an entry, as it is measured, goes to standard error."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--shapes", default=",".join(SHAPES), help="which shapes, commas between")
    arguments.add_argument("--keep", action="store_true", help="put the table into benchmarks/README.md")
    chosen = arguments.parse_args()
    torch.set_num_threads(THREADS)
    heading = "| shape | what | against | s | s | ratio | arithmetic saved | in products | goal | met |"
    lines = [f"{machine()}\n", heading, "|" + "---|" * 10]
    for shape in chosen.shapes.split(","):
        for row in rows(shape):
            lines.append("| " + " | ".join(row.cells()) + " |")
            print(lines[-1], file=sys.stderr, flush=True)
    lines += ["", *growth(lambda n_layers: build("70M", n_layers=n_layers), seconds)]
    lines += ["", *table_of_checks(checked_models())]
    table = "\n".join(lines) + "\n"
    print(table)
    if chosen.keep:
        before, rest = README.read_text().split(START)
        README.write_text(before + START + table + END + rest.split(END)[1])


def rows(shape: str) -> Iterator[Row]:
    """All comparisons on one shape."""
    model = build(shape)
    pairs = random_pairs(model)
    lens = Lens(model, pairs)

    def ours(method: str, **options: Any) -> float:
        return seconds(lambda: ie.score(model, pairs, method=method, **options), 5)

    yield from sweeps(shape, model, pairs, lens)
    yield Row(
        shape=shape,
        what="`attribution_patching`, all nodes",
        against="`attribution_patch`",
        ours=ours("attribution_patching"),
        theirs=seconds(lens.nodes, 3),
        faster=10,
    )
    eap = ours("eap")
    yield Row(
        shape=shape,
        what="`eap`, all edges",
        against='`attribution_patch(granularity="edge")`',
        ours=eap,
        theirs=seconds(lens.edges, 1),
        faster=15,
    )
    bare = seconds(lambda: bare_forward(model, pairs), 15)
    for method, limit in (("eap", 4.5), ("eap_ig", 16)):
        what = f"`{method}`, m = 5" if method == "eap_ig" else f"`{method}`"
        yield Row(
            shape=shape, what=what, against="bare forward, last logit", ours=ours(method), theirs=bare, within=limit
        )
    yield from circuits(shape, model, pairs, lens, bare)


def circuits(shape: str, model: ie.HookedModel, pairs: ie.PromptPairs, lens: Lens, bare: float) -> Iterator[Row]:
    """Evaluation of the best edges at ten sizes in two rankings, and of one circuit on one pair."""
    scores = ie.score(model, pairs, method="eap")
    assert isinstance(scores, ie.EdgeScores)
    yield Row(
        shape=shape,
        what="`faithfulness_curve`, ten sizes in two rankings",
        against="bare forward, last logit",
        ours=seconds(lambda: ie.faithfulness_curve(model, scores, pairs), 3),
        theirs=bare,
        within=60,
    )
    circuit, first = scores.top(scores.graph.n_edges // 100), pairs[:1]
    yield Row(
        shape=shape,
        what=f"`evaluate`, one circuit ({len(circuit)} edges), one pair",
        against="`faithfulness`",
        ours=seconds(lambda: ie.evaluate(model, circuit, first), 5),
        theirs=seconds(lens.circuit(circuit), 1),
        faster=50,
    )


def sweeps(shape: str, model: ie.HookedModel, pairs: ie.PromptPairs, lens: Lens) -> Iterator[Row]:
    """The exact sweeps, on prompts that differ in one token and on prompts that differ in all."""
    n_layers, n_heads = (SHAPES[shape][f"num_{part}"] for part in ("hidden_layers", "attention_heads"))
    kinds: list[tuple[str, str, Callable[[], object], int, float, dict[str, Any]]] = [
        (
            "all heads, positions collapsed, exact",
            "`get_act_patch_attn_head_out_all_pos`",
            lens.heads,
            n_layers * n_heads,
            8,
            {"sites": ("head",)},
        ),
        (
            "residual by layer and position, exact",
            "`get_act_patch_resid_pre`",
            lens.stream,
            n_layers * LENGTH,
            12,
            {"sites": ("resid_pre",), "positions": "all"},
        ),
    ]
    for what, against, sweep, n_runs, goal, options in kinds:
        with torch.no_grad():
            theirs, of_theirs = seconds(sweep, 1), n_runs * operations(lens.run)
        for which, chosen in (("", pairs), ("; every token differs", random_pairs(model, all_differ=True))):

            def ours(chosen: ie.PromptPairs = chosen, options: dict[str, Any] = options) -> object:
                return ie.score(model, chosen, method="activation_patching", **options)

            yield Row(
                shape=shape,
                what=what + which,
                against=against,
                ours=seconds(ours, 5),
                theirs=theirs,
                faster=goal,
                arithmetic=of_theirs / operations(ours),
                products=share_of_products(ours),
            )


def checked_models() -> dict[str, tuple[Any, ie.PromptPairs]]:
    """The models on which the cost of checks is measured: the largest that is bundled, and the larger shape."""
    bundled, large = ie.load_family("miniature").load("560k"), build("160M")
    ability = ie.load_ability("induction")
    return {
        "bundled 560k": (bundled.hf, ability.sample(bundled, 64)),
        "bundled 560k, few pairs": (bundled.hf, ability.sample(bundled, PAIRS)),
        "160M": (large.hf, random_pairs(large, 64)),
        "160M, few pairs": (large.hf, random_pairs(large)),
    }


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations that the work takes."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def share_of_products(work: Callable[[], object]) -> float:
    """Fraction of the time that the work spends in matrix products."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    spent = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    return sum(spent.get(f"aten::{name}", 0.0) for name in ("addmm", "mm", "bmm")) / sum(spent.values())


def build(shape: str, **changes: int) -> ie.HookedModel:
    """A model of random weights with a Pythia's shape."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {**SHAPES[shape], **({"num_hidden_layers": changes["n_layers"]} if changes else {})}
    rotary = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25}
    return ie.hook(GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=50304, rope_parameters=rotary, **sizes)))


def random_pairs(model: ie.HookedModel, n: int = PAIRS, *, all_differ: bool = False) -> ie.PromptPairs:
    """Prompts of random tokens. The corrupt ones have another token at one place, or at every place."""
    generator = torch.Generator().manual_seed(0)
    clean, others = (torch.randint(10, model.d_vocab, (n, LENGTH), generator=generator) for _ in range(2))
    corrupt = others if all_differ else torch.cat([clean[:, :5], others[:, 5:6], clean[:, 6:]], 1)
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=torch.full((n,), 7), foil=torch.full((n,), 8))


@torch.no_grad()
def bare_forward(model: ie.HookedModel, pairs: ie.PromptPairs) -> None:
    """The Hugging Face model itself on the clean prompts, logits after the last token alone."""
    model.hf(input_ids=pairs.clean, logits_to_keep=1, use_cache=False)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of the work, after one run that is not counted if there are several."""
    times = []
    for _ in range(repeats + (repeats > 1)):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:] if repeats > 1 else times)


def machine() -> str:
    """What the figures were measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformer-lens", "transformers"))
    cores = f"{THREADS} threads on {os.cpu_count()} cores ({platform.machine()})"
    return f"{PAIRS} pairs × {LENGTH} tokens, {cores}, {packages}."


if __name__ == "__main__":
    main()
