"""What holds for every patching method on the shelf."""

import ctypes
import gc
import resource
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, Method, NodeScores, PatchingTask
from interp_emerge.patching.scoring import all_options, estimate
from tests.models.small_models import FORMS, build, linear_model, random_pairs, small_model
from tests.patching.exact import exact_edges, exact_nodes

RANDOM = "random"
"""The one method that does not run the model."""
KEEPS_ALL: dict[str, dict[str, Any]] = {"acdc": {"threshold": -1e9}}
"""Options under which a method removes no edge, so that it tests each edge in the whole model."""
NO_ESTIMATES = {RANDOM, "atp_star"}
"""Methods whose scores do not estimate effects: the random one, and one that sums absolute values."""
DIRECT = "path_patching"
"""The one method that by default scores only the direct path to the logits."""
NOT_OPTIONS = {"model", "pairs", "method", "metric", "budget", "record", "corruption", "n_pairs", "prompts", "ability"}
"""Arguments of all methods, and fields that every result records."""
OTHER_VALUES: dict[str, Any] = {
    "ablation": "mean",
    "direction": "noising",
    "mlps": "live",
    "positions": ("1",),
    "receivers": ("a1.h0.q",),
    "seed": 7,
    "senders": ("embed",),
    "sites": ("head",),
    "steps": 2,
    "threshold": 0.5,
}
"""For each option a value that is not the default of every method."""


@pytest.fixture(params=shelf.names())
def method(request: pytest.FixtureRequest) -> Method:
    return shelf[request.param]


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


@pytest.fixture(scope="module", params=["gpt_neox", "gpt2", "llama_grouped", "bloom", "olmo2"])
def linear(request: pytest.FixtureRequest, pairs: ie.PromptPairs) -> tuple[HookedModel, np.ndarray, np.ndarray]:
    """A linear model with the exact effects of its nodes and edges."""
    model = linear_model(request.param)
    return model, exact_nodes(model, pairs).mean(0), exact_edges(model, pairs)


def values(scores: NodeScores | EdgeScores) -> np.ndarray:
    return scores.scores


def state_of(hf: Any) -> list[object]:
    modules = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training) for m in hf.modules()
    ]
    parameters = [
        (parameter.requires_grad, parameter.grad, parameter.dtype, parameter.data_ptr(), parameter._version)
        for parameter in hf.parameters()
    ]
    return [modules, parameters, hf.config._attn_implementation, torch.is_grad_enabled(), torch.get_default_dtype()]


def spoiled(calls: int, error: BaseException) -> tuple[Callable[[Tensor, ie.PromptPairs], Tensor], list[int]]:
    """A metric that raises the error at its call number `calls`, and the number of its calls so far."""
    count = [0]

    def metric(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        count[0] += 1
        if count[0] == calls:
            raise error
        return logits[:, 0] - logits[:, 1]

    return metric, count


def with_least_budget(model: HookedModel, pairs: ie.PromptPairs, method: str) -> tuple[np.ndarray, str]:
    """Scores under the smallest power of two that the method accepts, and the error under half of that."""
    message = ""
    for budget in (1 << exponent for exponent in range(8, 40)):
        try:
            return values(ie.score(model, pairs, method=method, budget=budget)), message
        except InputError as refusal:
            message = str(refusal)
    raise AssertionError("no budget was enough")


@cache
def scores_of_gpt2(method: str, **options: Any) -> NodeScores | EdgeScores:
    """Scores of the small model, which several tests look at."""
    return ie.score(small_model("gpt2"), random_pairs(), method=method, **options)


@cache
def calls_of_metric(method: str) -> int:
    """How often the method reads the metric of a small model."""
    metric, count = spoiled(-1, ZeroDivisionError())
    ie.score(ie.hook(build("gemma2", layers=2).bfloat16()), random_pairs(), method=method, metric=metric)
    return count[0]


def test_it_carries_the_name_of_its_file_and_says_what_it_is(method: Method):
    assert shelf[method.name] is method
    assert method.summary and "\n" not in method.summary
    assert method.source.authors and method.source.url.startswith("https://")


@pytest.mark.parametrize("architecture", FORMS)
def test_it_gives_every_node_or_edge_a_finite_score(architecture: str, method: Method, pairs: ie.PromptPairs):
    model = small_model(architecture, layers=2)
    scores = ie.score(model, pairs, method=method.name)
    if method.scores == "edges":
        assert isinstance(scores, EdgeScores)
        assert len(scores.to_frame()) == model.graph.n_edges
    else:
        assert isinstance(scores, NodeScores)
        assert {*scores.to_frame()["node"]} >= {*model.graph.writer_names} - {"embed"}
    assert np.isfinite(values(scores)).all()
    assert np.abs(values(scores)).max() > 0.05


@pytest.mark.parametrize("architecture", FORMS)
def test_where_clean_and_corrupt_are_the_same_everything_scores_zero(
    architecture: str, method: Method, pairs: ie.PromptPairs
):
    if method.name != RANDOM:
        same = replace(pairs, corrupt=pairs.clean)
        scores = values(ie.score(small_model(architecture, layers=2), same, method=method.name))
        np.testing.assert_allclose(scores, 0, atol=1e-5)


def test_the_order_of_the_pairs_is_irrelevant(method: Method, pairs: ie.PromptPairs):
    other = ie.score(small_model("gpt2"), pairs[[3, 0, 5, 1, 4, 2]], method=method.name)
    np.testing.assert_allclose(values(scores_of_gpt2(method.name)), values(other), atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama_grouped", "olmo2"])
def test_the_smallest_budget_that_is_accepted_gives_the_same_scores(
    architecture: str, method: Method, pairs: ie.PromptPairs
):
    if method.name == RANDOM:
        return
    model, pairs = small_model(architecture, layers=2), pairs[:3]
    found, refusal = with_least_budget(model, pairs, method.name)
    assert "allowed; raise the budget" in refusal and "\n" not in refusal
    np.testing.assert_allclose(found, values(ie.score(model, pairs, method=method.name)), atol=1e-5)


def test_what_it_takes_is_known_beforehand(method: Method, pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    metric = bind_metric("logit_diff", model, pairs)
    task = PatchingTask(model=model, pairs=pairs, metric=metric, options=method.options())
    cost = method.cost(task)
    assert cost.bytes > 0 and (cost.passes > 0 or method.name == RANDOM)
    found = estimate(model, pairs, method=method.name)
    assert (found.method, found.passes, found.bytes) == (method.name, cost.passes, cost.bytes)
    assert np.isfinite(found.seconds)
    more = random_pairs(24)
    assert method.cost(replace(task, pairs=more)).passes == pytest.approx(cost.passes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_model_in_half_precision_scores_about_the_same(dtype: torch.dtype, method: Method, pairs: ie.PromptPairs):
    options = KEEPS_ALL.get(method.name, {})
    full = values(scores_of_gpt2(method.name, **options))
    half = values(ie.score(ie.hook(build("gpt2").to(dtype)), pairs, method=method.name, **options))
    # Largest difference 0.06 of the largest score.
    assert np.abs(full - half).max() < 0.15 * np.abs(full).max()


def test_on_a_linear_model_it_finds_the_exact_effects(method: Method, linear: tuple, pairs: ie.PromptPairs):
    if method.name in NO_ESTIMATES:
        return
    model, nodes, edges = linear
    scores = ie.score(model, pairs, method=method.name, **KEEPS_ALL.get(method.name, {}))
    exact = edges
    if isinstance(scores, NodeScores):
        expected = edges[:, -1] if method.name == DIRECT else nodes
        exact = expected[[model.graph.writer_names.index(name) for name in scores.to_frame()["node"]]]
    assert np.abs(exact).max() > 0.1
    # Largest difference 4e-6 of the largest effect.
    np.testing.assert_allclose(values(scores), exact, atol=2e-5 * max(1.0, float(np.abs(exact).max())))


def test_the_result_says_where_it_comes_from(method: Method, pairs: ie.PromptPairs):
    model = small_model("gpt2")
    origin = scores_of_gpt2(method.name).origin
    assert (origin["method"], origin["metric"]) == (method.name, "logit_diff")
    # These prompts do not begin with the model's first token.
    recorded = model.spec.to_dict() | {"prepended": ""}
    assert (origin["n_pairs"], origin["prompts"], origin["model"]) == (6, pairs.fingerprint, recorded)


def test_its_options_are_declared_each_with_a_line_that_says_what_it_means(method: Method):
    assert {*method.declared} == {field.name for field in fields(method.options)}
    for name, option in method.declared.items():
        assert option.about and "\n" not in option.about, f"{method.name} does not say what {name} means"
        assert name not in NOT_OPTIONS, f"{name} is what every method is given"
        if option.default is not None:
            assert option.checked(option.default) == option.default
            given = ",".join(option.default) if isinstance(option.default, tuple) else str(option.default)
            assert option.checked(option.from_text(given)) == option.default


def test_its_options_and_no_others_are_taken_and_recorded(method: Method, pairs: ie.PromptPairs):
    model = small_model("gpt2", layers=2)
    given: dict[str, Any] = {name: OTHER_VALUES[name] for name in method.declared}
    origin = ie.score(model, pairs, method=method.name, **given).origin
    assert {name: origin[name] for name in given} == given
    left = ie.score(model, pairs, method=method.name).origin
    for name, by_method in all_options().items():
        if name in method.declared:
            assert left.get(name) == method.declared[name].default
        else:
            assert name not in origin and name not in left
            foreign: dict[str, Any] = {name: next(iter(by_method.values())).default or OTHER_VALUES[name]}
            for call in (ie.score, estimate):
                with pytest.raises(InputError, match=f"{method.name} takes no option '{name}'"):
                    call(model, pairs, method=method.name, **foreign)


def test_every_word_that_an_option_takes_is_taken_and_others_are_refused(method: Method, pairs: ie.PromptPairs):
    model = small_model("gpt2", layers=2)
    for name, option in method.declared.items():
        for word in option.choices:
            given: dict[str, Any] = {name: word}
            ie.score(model, pairs, method=method.name, **given)
        if option.choices and not option.is_list:
            near = f"unknown {name} '{option.choices[0]}s'; did you mean '{option.choices[0]}'"
            misspelt: dict[str, Any] = {name: f"{option.choices[0]}s"}
            with pytest.raises(UnknownNameError, match=near):
                ie.score(model, pairs, method=method.name, **misspelt)


def test_positions_are_resolved_by_the_methods_that_take_them(method: Method, pairs: ie.PromptPairs):
    named = replace(pairs, positions={"second": torch.full((6,), 1)})
    model = small_model("gpt2", layers=2)
    if "positions" not in method.declared:
        with pytest.raises(InputError, match="takes no option 'positions'"):
            ie.score(model, named, method=method.name, positions="all")
        return
    everywhere = ie.score(model, named, method=method.name, positions="all").to_frame()
    assert sorted(everywhere["position"].unique()) == [str(position) for position in range(7)]
    at_second = ie.score(model, named, method=method.name, positions="second").to_frame()
    assert {*at_second["position"]} == {"second"}
    there = everywhere[everywhere["position"] == "1"]
    np.testing.assert_allclose(at_second["score"], there["score"], atol=1e-5)
    # Nothing differs before the first token that the corruption exchanges.
    np.testing.assert_allclose(everywhere[everywhere["position"] == "0"]["score"], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "training", "grad"),
    [(torch.float32, True, True), (torch.bfloat16, True, False), (torch.float16, False, True)],
    ids=str,
)
def test_the_model_is_left_as_it_was_found(
    dtype: torch.dtype, training: bool, grad: bool, method: Method, pairs: ie.PromptPairs
):
    model = ie.hook(build("gpt_neox", layers=2).to(dtype))
    model.hf.train(training)
    model.hf.get_parameter("gpt_neox.layers.0.mlp.dense_h_to_4h.bias").requires_grad_(False)
    with torch.set_grad_enabled(grad):
        before = state_of(model.hf)
        ie.score(model, pairs, method=method.name)
        assert state_of(model.hf) == before


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()], ids=repr)
def test_the_model_is_left_as_it_was_found_also_after_an_error_or_an_interruption(
    error: BaseException, at: int, method: Method, pairs: ie.PromptPairs
):
    if method.name == RANDOM:
        return
    model = ie.hook(build("gemma2", layers=2).bfloat16().train())
    before = state_of(model.hf)
    metric, _ = spoiled(min(at, calls_of_metric(method.name)), error)
    with pytest.raises(type(error)):
        ie.score(model, pairs, method=method.name, metric=metric)
    assert state_of(model.hf) == before


def test_dropout_of_a_model_that_is_training_does_not_reach_the_scores(method: Method, pairs: ie.PromptPairs):
    model = ie.hook(build("opt", layers=2, dropout=0.5, attention_dropout=0.5))
    expected = values(ie.score(model, pairs, method=method.name))
    model.hf.train()
    # Dropout of a half would move scores by about as much as they are.
    np.testing.assert_allclose(values(ie.score(model, pairs, method=method.name)), expected, atol=1e-4)


class Mallinfo2(ctypes.Structure):
    """What `mallinfo2` of the GNU C library returns."""

    counts = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in counts]


TELLS_MEMORY = hasattr(ctypes.CDLL(None), "mallinfo2")


def allocated() -> int:
    """Bytes that the C library has given out and not got back, or those of resident pages where it does not tell."""
    if not TELLS_MEMORY:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = Mallinfo2
    told = ask()
    return told.uordblks + told.hblkhd


def test_ten_calls_leave_nothing_in_memory(method: Method, pairs: ie.PromptPairs):
    model = ie.hook(build("gpt2", layers=1))

    def held_after(calls: int) -> tuple[int, int]:
        for _ in range(calls):
            ie.score(model, pairs[[0, 1]], method=method.name)
        gc.collect()
        return len(gc.get_objects()), allocated()

    held_after(5)
    objects, memory = held_after(1)
    objects_then, memory_then = held_after(10)
    assert objects_then - objects < 10
    # Largest growth found 7 KiB where the C library tells, and 0.4 MiB in pages, of which it gives back few.
    assert memory_then - memory < (64 << 10 if TELLS_MEMORY else 2 << 20)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda logits, pairs: logits, r"returned \[.*\]; it has to return one value"),
        (lambda logits, pairs: logits.sum(), r"returned \[\]; it has to return one value"),
        (lambda logits, pairs: logits[:, 0] * torch.nan, "is not finite"),
    ],
    ids=["wrong shape", "no axis", "not a number"],
)
def test_a_metric_of_another_shape_or_not_finite_is_refused_in_one_line(
    metric: Callable[..., Tensor], message: str, method: Method, pairs: ie.PromptPairs
):
    if method.name != RANDOM:
        with pytest.raises(InputError, match=message) as refusal:
            ie.score(small_model("gpt2", layers=2), pairs, method=method.name, metric=metric)
        assert "\n" not in str(refusal.value)
