"""Every architecture × short and long prompts × precision × kernel: the package compared with hooks on the plain model.

An error is the largest difference as a share of the largest value of the quantity. `table_of_errors` lists the largest
errors: `python -c "from tests.patching.test_matrix import table_of_errors as t; print(t().to_string())"`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

import interp_emerge as ie
from interp_emerge.caching.recording import (
    EMBED,
    Recording,
    final_logits,
    mlp_name,
    pattern_name,
    record,
    streams,
    writer_outputs,
    z_name,
)
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.models.plain_hooks import Edge, PlainModel, eap_ig, exchanged
from tests.models.small_models import CONFIGURATIONS, EXPERTS, VOCABULARY, build, random_pairs
from tests.patching.scored import score_edges

Values = dict[str, Tensor]
Row = tuple[str, dict[str, Any]]
SHORT, BETWEEN, LONG = 7, 10, 20
"""Lengths of prompts, and a length between them at which variants of the architectures change."""
LAYERS, PAIRS, STEPS = 2, 3, 2
EDGES_OF_A_KIND = 3
KERNELS = ("eager", "sdpa")

TOLERANCE = 3e-5
"""In float32. Right results are off by up to 7e-6 (exact edges of Phi), those of `WRONG` by 0.11 or more."""
ROUNDING, MOST = 0.05, 0.6
"""In bfloat16 an error of twice the dtype's own noise plus `ROUNDING` is allowed, and that limit has to be below
`MOST`. The noise is the error of hooks on the model in bfloat16 against hooks on the same weights in float32: up to
0.23 (EAP-IG of a rotation that changes with the length), mostly below 0.04. The largest error of a right result is 0.67
of its limit (exact edges of OLMo 2, off by 0.17), the smallest of `WRONG` 1.2 times its limit (exact edges of Gemma 2,
off by 0.19)."""


def rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, "factor": 4.0} | more}


TRAINED = {"original_max_position_embeddings": BETWEEN}
LONGROPE = {"short_factor": [1.0, 1.5, 2.0], "long_factor": [1.0, 3.0, 5.0]}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
ALL_EXPERTS = {"num_experts_per_tok": EXPERTS["num_experts"]}
VARIANTS: dict[str, Row] = {
    "llama_linear": ("llama", rope("linear")),
    "llama_dynamic": ("llama", rope("dynamic")),
    "llama_yarn": ("llama", rope("yarn", **TRAINED)),
    "llama_longrope": ("llama", rope("longrope", **LONGROPE, **TRAINED)),
    "llama_llama3": ("llama", rope("llama3", **LLAMA3, **TRAINED)),
    "llama_stray_window": ("llama", {"sliding_window": BETWEEN}),
    "mistral_wide_window": ("mistral", {"sliding_window": BETWEEN}),
    "qwen3_moe_all_experts": ("qwen3_moe", ALL_EXPERTS),
}
"""Rotations that depend on the length of the prompt or of training prompts, a window that the model's code ignores, and
a window that only the long prompts fill."""
ROWS: dict[str, Row] = {name: (name, {}) for name in CONFIGURATIONS} | VARIANTS
WRONG: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 4},
    "mistral_wide_window": {"sliding_window": BETWEEN + 1},
    "gpt_neo": {"window_size": 4},
    "gemma2": {"attn_logit_softcapping": 3.0},
    "gpt2": {"scale_attn_by_inverse_layer_idx": True},
    "olmo": {"clip_qkv": 2.0},
    "mpt": {"attn_config": {"clip_qkv": 2.0}},
    "granite": {"attention_multiplier": 0.4},
    "cohere": rope("linear", factor=4.0),
    "llama": rope("linear", factor=1.5),
    "llama_llama3": rope("llama3", **LLAMA3, original_max_position_embeddings=LONG),
}
"""One wrong setting for each of some rows."""


@dataclass(frozen=True)
class Case:
    row: str
    length: int
    dtype: torch.dtype
    kernel: str

    def __str__(self) -> str:
        return f"{self.row}-{self.length}-{str(self.dtype).removeprefix('torch.')}-{self.kernel}"


def takes_sdpa(row: str) -> bool:
    """Whether transformers runs this type of model with `scaled_dot_product_attention`."""
    config = AutoConfig.for_model(CONFIGURATIONS[ROWS[row][0]][0])
    of_type: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return of_type._supports_sdpa


def dtypes(row: str) -> Sequence[torch.dtype]:
    """Float32, and bfloat16 unless a router chooses some experts: rounded, it chooses others, which is not an error."""
    return (torch.float32,) if row == "qwen3_moe" else (torch.float32, torch.bfloat16)


CASES = [
    Case(row, length, dtype, kernel)
    for row in ROWS
    for length in (SHORT, LONG)
    for kernel in KERNELS[: 1 + takes_sdpa(row)]
    for dtype in dtypes(row)
]


def model_of(row: str, dtype: torch.dtype = torch.float32, kernel: str = "eager", **changes: Any) -> Any:
    """The plain model; in both precisions its weights are those of bfloat16."""
    architecture, more = ROWS[row]
    hf = build(architecture, layers=LAYERS, attn_implementation=kernel, **more | changes)
    for parameter in hf.parameters():
        parameter.data = parameter.data.bfloat16().to(dtype)
    return hf.requires_grad_(False)


@cache
def plain_model(row: str, dtype: torch.dtype = torch.float32, kernel: str = "eager") -> PlainModel:
    return PlainModel(model_of(row, dtype, kernel))


@cache
def hooked_model(row: str, dtype: torch.dtype = torch.float32, kernel: str = "eager") -> HookedModel:
    """The package's model; it shares no module with the one that the hooks run on."""
    return ie.hook(model_of(row, dtype, kernel))


@cache
@torch.no_grad()
def pairs_of(row: str, length: int) -> ie.PromptPairs:
    """Prompts that differ at every third token; answer and foil are the tokens whose logits this changes most."""
    drawn = random_pairs(PAIRS, length=length)
    corrupt = drawn.clean.clone()
    corrupt[:, 1:-1:3] = 1 + (drawn.clean[:, 1:-1:3] + 5) % (VOCABULARY - 1)
    clean_logits, corrupt_logits = (plain_model(row).run(tokens).logits[0] for tokens in (drawn.clean, corrupt))
    moved = clean_logits - corrupt_logits
    return replace(drawn, corrupt=corrupt, answer=moved.argmax(1), foil=moved.argmin(1))


def plain_edges(row: str) -> tuple[Edge, ...]:
    return tuple(plain_model(row).edges())


def sampled_edges(row: str) -> list[Edge]:
    """Some edges into readers of each kind: queries, keys, values, MLPs and the logits."""
    rng, kinds = np.random.default_rng(0), ("q", "k", "v", "m", "l")
    of_kinds = [[edge for edge in plain_edges(row) if kind in (edge[1][0], edge[1][-1])] for kind in kinds]
    return [some[at] for some in of_kinds for at in rng.choice(len(some), EDGES_OF_A_KIND, replace=False)]


@cache
def circuit_of(row: str) -> frozenset[Edge]:
    """A connected circuit of a third of the edges."""
    graph = hooked_model(row).graph
    (kept,) = random_connected_circuits(graph, graph.n_edges // 3, 1, seed=0)
    return frozenset(edges_of(graph, kept))


def edges_of(graph: ie.Graph, kept: np.ndarray) -> list[Edge]:
    return [(graph.writer_names[writer], graph.reader_names[reader]) for writer, reader in np.argwhere(kept)]


def by_package(case: Case) -> Values:
    model, pairs = hooked_model(case.row, case.dtype, case.kernel), pairs_of(case.row, case.length)
    recording, corrupt = record(model, pairs.clean, patterns=case.kernel == "eager"), record(model, pairs.corrupt)
    kept, layers = recording.activations, range(LAYERS)

    def recorded(_: HookedModel, tokens: Tensor) -> Recording:
        return recording if torch.equal(tokens, pairs.clean) else corrupt

    number = {edge: at for at, edge in enumerate(edges_of(model.graph, model.graph.exists))}
    attributed = score_edges(model, pairs, "eap_ig", steps=STEPS, record=recorded).per_pair
    exact = score_edges(model, pairs, "exact_edges", record=recorded).per_pair
    circuit = ie.Circuit.from_edges(model, circuit_of(case.row))
    assert attributed is not None and exact is not None
    found = {
        "embedding": kept[EMBED],
        "z": torch.stack([kept[z_name(layer)] for layer in layers]),
        "MLP outputs": torch.stack([kept[mlp_name(layer)] for layer in layers]),
        "writers' outputs": writer_outputs(model, recording).movedim(2, 0),
        "residual streams": torch.stack(streams(model, recording)),
        "logits": final_logits(model, recording),
        "EAP-IG": torch.from_numpy(attributed[:, [number[edge] for edge in plain_edges(case.row)]]),
        "exact edges": torch.from_numpy(exact[:, [number[edge] for edge in sampled_edges(case.row)]]),
        "circuit": torch.from_numpy(ie.evaluate(model, circuit, pairs, record=recorded).metric),
    }
    if case.kernel == "eager":
        found["patterns"] = torch.stack([kept[pattern_name(layer)] for layer in layers])
    return found


def by_hooks(case: Case, **changes: Any) -> Values:
    """The same quantities from hooks on the plain model, or on one with another setting."""
    given, pairs = (case.row, case.dtype, case.kernel), pairs_of(case.row, case.length)
    plain = PlainModel(model_of(*given, **changes)) if changes else plain_model(*given)

    def logit_diff(logits: Tensor) -> Tensor:
        rows = torch.arange(PAIRS)
        return logits.float()[rows, pairs.answer] - logits.float()[rows, pairs.foil]

    with torch.no_grad():
        clean = plain.run(pairs.clean, patterns=case.kernel == "eager")
    midpoints = [(step + 0.5) / STEPS for step in range(STEPS)]
    attributed = eap_ig(plain, pairs.clean, pairs.corrupt, logit_diff, midpoints)
    outside = {*plain.edges()} - circuit_of(case.row)
    sets = [outside, *([edge] for edge in sampled_edges(case.row))]
    of_circuit, *noised = map(logit_diff, exchanged(plain, pairs.clean, pairs.corrupt, sets))
    found = {
        "embedding": clean.written["embed"],
        "z": torch.stack(clean.z),
        "MLP outputs": torch.stack([clean.written[f"m{layer}"] for layer in range(LAYERS)]),
        "writers' outputs": torch.stack([clean.written[writer] for writer in plain.writers_before("logits")]),
        "residual streams": torch.stack(clean.streams),
        "logits": clean.logits[0],
        "EAP-IG": torch.stack([attributed[edge] for edge in plain_edges(case.row)], 1),
        "exact edges": logit_diff(clean.logits[0])[:, None] - torch.stack(noised, 1),
        "circuit": of_circuit,
    }
    if case.kernel == "eager":
        found["patterns"] = torch.stack(clean.patterns)
    return found


expected = cache(by_hooks)


def errors(found: Values, right: Values) -> dict[str, float]:
    assert {*found} == {*right} and all(found[name].shape == values.shape for name, values in right.items())
    return {
        name: float((found[name].double() - values.double()).abs().max() / values.double().abs().max())
        for name, values in right.items()
    }


def allowed(case: Case) -> dict[str, float]:
    if case.dtype == torch.float32:
        return dict.fromkeys(expected(case), TOLERANCE)
    noise = errors(expected(case), expected(replace(case, dtype=torch.float32)))
    limits = {name: ROUNDING + 2 * value for name, value in noise.items()}
    assert max(limits.values()) < MOST, "what the dtype itself does would hide errors"
    return limits


def table_of_errors() -> pd.DataFrame:
    """The largest error of each quantity in each precision, its case, and the largest noise of the dtype itself."""
    rows = []
    for case in CASES:
        found = errors(by_package(case), expected(case))
        noise = errors(expected(case), expected(replace(case, dtype=torch.float32)))
        rows += [
            {"quantity": name, "dtype": str(case.dtype), "error": error, "noise": noise[name], "case": str(case)}
            for name, error in found.items()
        ]
    table = pd.DataFrame(rows)
    worst = table.loc[table.groupby(["dtype", "quantity"])["error"].idxmax()]
    return worst.assign(largest_noise=table.groupby(["dtype", "quantity"])["noise"].max().to_numpy())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_package_finds_what_hooks_on_the_plain_model_find(case: Case):
    limits = allowed(case)
    wrong = {
        name: error for name, error in errors(by_package(case), expected(case)).items() if not error < limits[name]
    }
    assert not wrong, f"largest allowed: {limits}"


@torch.no_grad()
@pytest.mark.parametrize("row", ROWS)
def test_hooks_see_all_that_is_written_and_exchange_all_that_is_read(row: str):
    plain, pairs = plain_model(row), pairs_of(row, LONG)
    clean, corrupt = (plain.run(tokens) for tokens in (pairs.clean, pairs.corrupt))
    written = torch.stack([clean.written[writer] - corrupt.written[writer] for writer in clean.written]).sum(0)
    torch.testing.assert_close(written, clean.streams[-1] - corrupt.streams[-1], atol=3e-5, rtol=0)
    everything = exchanged(plain, pairs.clean, pairs.corrupt, [plain_edges(row)])[0]
    assert (clean.logits[0] - corrupt.logits[0]).abs().max() > 0.1
    torch.testing.assert_close(everything, plain.hf(input_ids=pairs.corrupt).logits[:, -1], atol=3e-5, rtol=0)


@pytest.mark.parametrize("row", ROWS)
def test_the_graph_has_the_edges_that_the_hooks_have(row: str):
    graph = hooked_model(row).graph
    assert sorted(edges_of(graph, graph.exists)) == sorted(plain_edges(row))


@pytest.mark.parametrize("row", ROWS)
def test_a_kernel_is_left_out_only_where_transformers_refuses_it(row: str):
    if takes_sdpa(row):
        assert plain_model(row, kernel="sdpa").hf.config._attn_implementation == "sdpa"
    else:
        with pytest.raises(ValueError, match="does not support an attention implementation through"):
            model_of(row, kernel="sdpa")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("row", WRONG)
def test_one_setting_that_is_wrong_is_noticed_in_everything_behind_it(row: str, dtype: torch.dtype):
    case = Case(row, LONG, dtype, "eager")
    limits, found = allowed(case), errors(by_hooks(case, **WRONG[row]), expected(case))
    assert found.pop("embedding") == 0
    unnoticed = {name: error for name, error in found.items() if error < limits[name]}
    assert not unnoticed, f"largest allowed: {limits}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_other_weights_are_noticed_in_everything(dtype: torch.dtype):
    case = Case("opt", SHORT, dtype, "sdpa")
    limits, found = allowed(case), errors(by_hooks(case, seed=1), expected(case))
    assert all(error > limits[name] for name, error in found.items())


@pytest.mark.parametrize("row", ["gpt2", "llama_dynamic"])
def test_prompts_beyond_the_last_position_are_refused(row: str):
    model, pairs = hooked_model(row), random_pairs(PAIRS, length=70)
    circuit = ie.Circuit.from_edges(model, [("embed", "logits")])
    with pytest.raises(InputError, match="prompts of 70 tokens do not fit the 64 positions"):
        ie.score(model, pairs)
    with pytest.raises(InputError, match="prompts of 70 tokens do not fit the 64 positions"):
        ie.evaluate(model, circuit, pairs)


def test_a_type_of_model_without_names_of_modules_is_refused():
    hf = model_of("llama")
    hf.config.model_type = "unheard_of"
    with pytest.raises(KeyError, match="no names of modules for 'unheard_of'; add a row"):
        PlainModel(hf)
