"""Time the engine beside TransformerLens on random weights of Pythia-70M's shape, and print a table of ratios.

Both sides get the same model, pairs and threads in the same process, so the ratios hold on a noisy machine. Each figure
is the median of its repeats.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from transformer_lens import patching as lens
from transformer_lens.tools.analysis import EdgeAttributionConfig, attribution_patch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import interp_emerge as ie

PAIRS, LENGTH, THREADS = 16, 16, 2
SHAPE: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
}


def main() -> None:
    """Print a Markdown table: what was timed, against what, seconds of each, and their ratio."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = ie.hook(GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE)))
    pairs = random_pairs(model)
    rows = [heads(model, pairs), edges(model, pairs), edges_against_forward(model, pairs)]
    print("| what | against | seconds | seconds | ratio |\n|---|---|---|---|---|")
    for what, against, ours, theirs in rows:
        print(f"| {what} | {against} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} |")


def random_pairs(model: ie.HookedModel) -> ie.PromptPairs:
    """Prompts of random tokens that differ in one."""
    clean = torch.randint(10, model.d_vocab, (PAIRS, LENGTH))
    corrupt = clean.clone()
    corrupt[:, 5] = torch.randint(10, model.d_vocab, (PAIRS,))
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=torch.full((PAIRS,), 7), foil=torch.full((PAIRS,), 8))


def heads(model: ie.HookedModel, pairs: ie.PromptPairs) -> tuple[str, str, float, float]:
    """Exact effects of every head, positions collapsed."""
    bridge = model.bridge
    with torch.no_grad():
        cache = bridge.run_with_cache(pairs.clean)[1]
        theirs = seconds(lambda: lens.get_act_patch_attn_head_out_all_pos(bridge, pairs.corrupt, cache, difference), 1)
    ours = seconds(lambda: ie.score(model, pairs, method="activation_patching"), 3)
    return "`activation_patching`, all nodes", "TransformerLens, all heads", ours, theirs


def edges(model: ie.HookedModel, pairs: ie.PromptPairs) -> tuple[str, str, float, float]:
    """First-order effects of every edge."""
    bridge, config = model.bridge, EdgeAttributionConfig(granularity="edge")
    bridge.set_use_attn_result(True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_hook_mlp_in(True)
    one = slice(0, 1)
    theirs = PAIRS * seconds(
        lambda: attribution_patch(bridge, pairs.clean[one], pairs.corrupt[one], difference, config), 3
    )
    ours = seconds(lambda: ie.score(model, pairs, method="eap"), 5)
    return "`eap`, all edges", f"TransformerLens `attribution_patch`, one pair, times {PAIRS}", ours, theirs


def edges_against_forward(model: ie.HookedModel, pairs: ie.PromptPairs) -> tuple[str, str, float, float]:
    """First-order effects of every edge, in bare forward passes."""
    with torch.no_grad():
        forward = seconds(lambda: model.logits(pairs.clean), 9)
    ours = seconds(lambda: ie.score(model, pairs, method="eap"), 5)
    return "bare forward, last logit", "`eap`, all edges", forward, ours


def difference(logits: torch.Tensor) -> torch.Tensor:
    """Mean logit difference after the last token, as TransformerLens takes its metrics."""
    return (logits[:, -1, 7] - logits[:, -1, 8]).mean()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of the work, after one run that is not counted if there are several."""
    times = []
    for _ in range(repeats + (repeats > 1)):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:] if repeats > 1 else times)


if __name__ == "__main__":
    sys.exit(main())
