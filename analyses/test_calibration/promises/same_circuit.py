"""Whether two models have the same circuit: how often an answer is wrong, and how often a right one is given."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig

import interp_emerge as ie
from interp_emerge.emergence.sameness import SameCircuitVerdict, same_circuit
from interp_emerge.families import untrained
from promises.base import Promise, Rate

SAME, DIFFERENT, OPEN = SameCircuitVerdict
GRAPH = ie.Graph(n_layers=2, n_heads=4, n_kv_heads=4, parallel=False)
EDGES, PAIRS, RESAMPLES = 20, 64, 39
NOISES = {"quiet": (0.0, 0.5), "even": (0.0, 1.5), "loud": (0.0, 6.0), "uneven": (1.0, 1.0)}
"""Spread of the logarithm of the noise over edges, and its scale; mean scores have Student's t with 3 degrees."""
Simulate = Callable[[np.random.Generator], SameCircuitVerdict]


def scores(rng: np.random.Generator, mean: np.ndarray, noise: str, n: int = PAIRS) -> ie.EdgeScores:
    spread, scale = NOISES[noise]
    loud = scale * np.exp(spread * rng.normal(size=len(mean)))
    return ie.EdgeScores.from_pairs(GRAPH, (mean + loud * rng.normal(size=(n, len(mean)))).astype(np.float32))


def means(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_t(3, GRAPH.n_edges)


def changed(mean: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Mean scores in which `n` of the strongest edges have exchanged their scores with weak ones."""
    order, moved = np.argsort(-np.abs(mean)), mean.copy()
    strong, weak = rng.choice(order[:EDGES], n, replace=False), rng.choice(order[2 * EDGES :], n, replace=False)
    moved[strong], moved[weak] = mean[weak], mean[strong]
    return moved


def exchanged_heads(mean: np.ndarray) -> np.ndarray:
    """Mean scores of the same model with the heads of each layer in another order."""
    heads = {f"a{layer}.h{head}": f"a{layer}.h{(head + 1) % 4}" for layer in range(2) for head in range(4)}

    def renamed(name: str) -> str:
        node, _, kind = name.rpartition(".")
        return f"{heads[node]}.{kind}" if node in heads else heads.get(name, name)

    at = {edge: index for index, edge in enumerate(edges())}
    moved = np.empty_like(mean)
    moved[[at[renamed(writer), renamed(reader)] for writer, reader in edges()]] = mean
    return moved


def edges() -> list[tuple[str, str]]:
    return [(GRAPH.writer_names[w], GRAPH.reader_names[r]) for w, r in np.argwhere(GRAPH.exists)]


def answer(a: ie.EdgeScores, b: ie.EdgeScores, n: int = EDGES) -> SameCircuitVerdict:
    return same_circuit(a, b, n, test="halves", resamples=RESAMPLES).verdict


def simulated(
    noise: str, other: Callable[[np.ndarray, np.random.Generator], np.ndarray], noise_b: str = "", pairs: int = PAIRS
) -> Simulate:
    def one(rng: np.random.Generator) -> SameCircuitVerdict:
        mean = means(rng)
        return answer(scores(rng, mean, noise, pairs), scores(rng, other(mean, rng), noise_b or noise, pairs))

    return one


def rate(
    case: str, n: int, simulate: Simulate, counted: SameCircuitVerdict, *, at_most: float = 1.0, at_least: float = 0.0
) -> Rate:
    seen = Counter(simulate(np.random.default_rng([at, len(case)])) for at in range(n))
    return Rate(case=case, happened=seen[counted], simulations=n, at_most=at_most, at_least=at_least, seen=seen)


def falsely_different(n: int) -> Iterator[Rate]:
    for noise in NOISES:
        yield rate(f"equal scores, {noise} noise", n, simulated(noise, lambda mean, _: mean), DIFFERENT, at_most=0.05)
    for case, other in {
        "five times the scores": lambda mean, _: 5 * mean,
        "all zero": lambda mean, _: 0 * mean,
    }.items():
        yield rate(f"{case}, even noise", n, simulated("even", other), DIFFERENT, at_most=0.05)
    unequal = simulated("quiet", lambda mean, _: mean, "loud")
    yield rate("equal scores, quiet and loud noise", n, unequal, DIFFERENT, at_most=0.05)


def falsely_same(n: int) -> Iterator[Rate]:
    others = {
        "unrelated scores": lambda _, rng: means(rng),
        "heads exchanged, no match": lambda mean, _: exchanged_heads(mean),
        "3 of 20 edges exchanged": lambda mean, rng: changed(mean, 3, rng),
    }
    for case, other in others.items():
        for noise in NOISES if other is others["3 of 20 edges exchanged"] else ("quiet", "even"):
            yield rate(f"{case}, {noise} noise", n, simulated(noise, other), SAME, at_most=0.05)
    for noise in ("even", "uneven"):
        yield rate(f"scores of pure noise, {noise}", n, no_signal(noise), SAME, at_most=0.05)


def no_signal(noise: str) -> Simulate:
    zero = np.zeros(GRAPH.n_edges)
    return lambda rng: answer(scores(rng, zero, noise), scores(rng, zero, noise))


def falsely_same_untrained(n: int) -> Iterator[Rate]:
    for kind in ("25k", "200k", "llama", "gpt_neox"):
        for n_edges in (20, 60):
            seen = Counter(answer(of_untrained(kind, seed), of_untrained(kind, seed + 1), n_edges) for seed in range(n))
            case = f"untrained {kind}, {n_edges} edges"
            yield Rate(case=case, happened=seen[SAME], simulations=n, at_most=0.05, seen=seen)


@cache
def of_untrained(kind: str, seed: int) -> ie.EdgeScores:
    """Scores of a randomly initialised model on prompts of its own."""
    if kind in ("25k", "200k"):
        model = untrained(ie.load_family("miniature").load(kind), seed)
        pairs = ie.load_ability("induction").sample(model, PAIRS, seed=seed)
    else:
        torch.manual_seed(seed)
        shape: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
        shape |= {"num_attention_heads": 4, "bos_token_id": 0, "eos_token_id": 0}
        config = LlamaConfig(**shape, num_key_value_heads=2) if kind == "llama" else GPTNeoXConfig(**shape)
        model = ie.hook(AutoModelForCausalLM.from_config(config), tokenizer=None)
        clean = torch.randint(1, 64, (PAIRS, 8))
        corrupt = clean.clone()
        corrupt[:, [1, 6]] = torch.randint(1, 64, (PAIRS, 2))
        pairs = ie.PromptPairs(clean=clean, corrupt=corrupt, answer=clean[:, 1], foil=(clean[:, 1] + 7) % 64)
    found = ie.score(model, pairs, method="eap_ig", metric="logit_diff")
    assert isinstance(found, ie.EdgeScores)
    return found


def found_same(n: int) -> Iterator[Rate]:
    simulate = simulated("quiet", lambda mean, _: mean, pairs=256)
    yield rate("equal scores, quiet noise, 256 pairs", n, simulate, SAME, at_least=0.8)


def found_different(n: int) -> Iterator[Rate]:
    others = {
        "unrelated scores": lambda _, rng: means(rng),
        "heads exchanged, no match": lambda mean, _: exchanged_heads(mean),
        "7 of 20 edges exchanged": lambda mean, rng: changed(mean, 7, rng),
    }
    for case, other in others.items():
        yield rate(f"{case}, even noise", n, simulated("even", other), DIFFERENT, at_least=0.8)


MODULE = "emergence.sameness.same_circuit"
PROMISES = (
    Promise(
        says="Circuits that differ by noise alone are called different in at most 5% of cases.",
        module=MODULE,
        counted="answers 'different'",
        simulate=falsely_different,
    ),
    Promise(
        says="Circuits that are not the same are called the same in at most 5% of cases.",
        module=MODULE,
        counted="answers 'same within a margin' (0.1)",
        simulate=falsely_same,
    ),
    Promise(
        says="Untrained models are called the same in at most 5% of cases.",
        module=MODULE,
        counted="answers 'same within a margin' of models with other random weights, 64 pairs each",
        simulate=falsely_same_untrained,
    ),
    Promise(
        says="Equal circuits are called the same where noise allows it.",
        module=MODULE,
        counted="answers 'same within a margin'",
        simulate=found_same,
    ),
    Promise(
        says="Circuits that differ clearly are called different where noise allows it.",
        module=MODULE,
        counted="answers 'different'",
        simulate=found_different,
    ),
)
