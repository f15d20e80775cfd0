"""Arguments of the wrong kind: one line that says what was given and what to give instead, before anything runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge
from interp_emerge.core.arguments import checked, fits, in_words
from interp_emerge.core.axes import Tokens
from interp_emerge.core.errors import InputError
from tests.models.small_models import random_pairs, small_model

ie: Any = interp_emerge
"""Without types, so that a type checker lets through what a user without one may write."""
MODEL: Any = small_model("gpt_neox", layers=2)
PAIRS: Any = random_pairs(12)
FAMILY, INDUCTION = ie.load_family("miniature"), ie.load_ability("induction")
SMALLEST: Any = FAMILY.load("3k")
SCORES = ie.score(MODEL, PAIRS, method="random")
CIRCUIT = SCORES.top(8)
HOOKED = "give a model as ie.hook(model, tokenizer=tokenizer) or family.load(...) returns it"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (np.float32(3.5), float),
        ("a", str),
        (None, int | None),
        ("last", int | Literal["last"]),
        (Path("a"), str | Path),
        (("a", 1), tuple[str, int]),
        ([("a", 1)], Iterable[tuple[str, int]]),
        ("a0.h0", Sequence[str]),
        (np.linspace(0, 1, 3), Sequence[float]),
        ((one for one in "ab"), Iterable[str]),
        ({"a": 1}, Mapping[str, int]),
        (len, str | Callable[[list], int]),
        (torch.zeros(1, 2, dtype=torch.int64), Tokens),
        (object(), Any),
    ],
)
def test_a_value_of_the_kind_is_taken(value: object, kind: Any):
    assert fits(value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        (True, int, "a whole number"),
        (3.0, int, "a whole number"),
        ("3", int | float, "a number"),
        (None, str, "text"),
        (["a"], str | Callable[[list], int], "text or a function"),
        (["a"], Literal["zero", "mean"] | str, "'zero' or 'mean'"),
        ("ab", tuple[str, str], "(text, text)"),
        ("ab", Iterable[tuple[str, str]], "a list, each item (text, text)"),
        (["a", 3], Sequence[str], "a list, each item text"),
        ({"a": "b"}, Iterable[tuple[str, int]], "a list, each item (text, a whole number)"),
        ([1], Mapping[str, int], "a dict from text to a whole number"),
        ([[1, 2]], Tokens, "a tensor of shape [pair, pos]"),
        (pd.DataFrame(), Mapping[str, int] | None, "a dict from text to a whole number"),
    ],
)
def test_a_value_of_another_kind_is_not_and_what_is_wanted_is_said(value: object, kind: Any, wanted: str):
    assert not fits(value, kind)
    assert in_words(kind) == wanted


def test_a_checked_function_is_called_as_before():
    @checked
    def joined(first: str, *others: int, last: bool = False, **more: float) -> str:
        """Words."""
        return f"{first}{others}{last}{more}"

    assert joined("a", 1, 2, last=True, more=0.5) == "a(1, 2)True{'more': 0.5}"
    assert (joined.__name__, joined.__doc__) == ("joined", "Words.")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        joined()  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        # A list or another thing where one name is wanted.
        (lambda: ie.load_ability(["induction"]), "name cannot be a list; give text"),
        (lambda: ie.load_family(3), "name cannot be 3; give text or a path"),
        (lambda: ie.load_family(None), "name cannot be None; give text or a path"),
        (lambda: ie.score(MODEL, PAIRS, metric=["logit_diff"]), "metric cannot be a list; give text or a function"),
        (lambda: ie.score(MODEL, PAIRS, method=None), "method cannot be None; give text"),
        (
            lambda: ie.evaluate(MODEL, CIRCUIT, PAIRS, ablation=["zero"]),
            "ablation cannot be a list; give 'zero' or 'mean' or",
        ),
        (
            lambda: ie.circuits.roles.label_heads(ie.Runs(MODEL, PAIRS), CIRCUIT, roles=3),
            "roles cannot be 3; give a list, each item text",
        ),
        # Something else for a model.
        (lambda: ie.score(PAIRS, MODEL), f"model cannot be a PromptPairs; {HOOKED}"),
        (lambda: ie.score(MODEL.hf, PAIRS), f"model cannot be a GPTNeoXForCausalLM; {HOOKED}"),
        (lambda: ie.emergence.scale.measure_ladder({"7k": SMALLEST}, INDUCTION), f"model cannot be a dict; {HOOKED}"),
        (lambda: ie.emergence.scale.measure_ladder(FAMILY, INDUCTION), f"model cannot be a DirectoryFamily; {HOOKED}"),
        (lambda: ie.emergence.scale.answer_sampler("gpt2", PAIRS), f"model cannot be 'gpt2'; {HOOKED}"),
        (lambda: INDUCTION.sample(MODEL.hf), f"model cannot be a GPTNeoXForCausalLM; {HOOKED}"),
        (lambda: ie.hook("gpt2"), "hf_model cannot be 'gpt2'; give a causal language model"),
        (lambda: ie.measure_grid(SMALLEST, [INDUCTION]), "family cannot be a HookedModel; give a family as"),
        (lambda: ie.measure_grid(FAMILY, [INDUCTION], models={"a": MODEL}), "models cannot be a dict with 'a' in it"),
        (
            lambda: ie.emergence.forming.dependence([MODEL], CIRCUIT, PAIRS),
            "models cannot be a list with a HookedModel in it",
        ),
        # Something else for pairs, abilities and circuits.
        (lambda: ie.score(MODEL, pd.DataFrame()), "pairs cannot be a DataFrame; give pairs as ie.PromptPairs(...)"),
        (lambda: ie.estimate(MODEL, None), "pairs cannot be None; give pairs as"),
        (
            lambda: ie.emergence.scale.measure_ladder(SMALLEST, "induction"),
            "ability cannot be 'induction'; give an ability as",
        ),
        (lambda: ie.measure_grid(FAMILY, ["markov"]), "abilities cannot be a list with 'markov' in it; give a list"),
        (lambda: ie.evaluate(MODEL, SCORES, PAIRS), "circuit cannot be an EdgeScores; give a circuit such as"),
        (lambda: ie.evaluate(MODEL, PAIRS, CIRCUIT), "circuit cannot be a PromptPairs; give a circuit such as"),
        (lambda: ie.faithfulness_curve(MODEL, CIRCUIT, PAIRS), "scores cannot be a Circuit; give scores of edges"),
        (
            lambda: ie.emergence.sameness.transfer([CIRCUIT], MODEL, PAIRS),
            "circuits cannot be a list; give a dict from text to a circuit",
        ),
        (
            lambda: ie.emergence.sameness.transfer({"a": CIRCUIT}, "model", PAIRS),
            "models cannot be 'model'; give a model as ie.hook(model, tokenizer=tokenizer) or family.load(...) returns "
            "it or a list, each item (text, a model",
        ),
        (lambda: ie.Circuit.from_edges(MODEL, "a0.h0"), "edges cannot be 'a0.h0'; give a list, each item (text, text)"),
        (lambda: ie.Circuit.from_edges(MODEL, ["m0", "m1"]), "edges cannot be a list with 'm0' in it; give a list"),
        (lambda: ie.Circuit.from_edges(MODEL.hf, [("embed", "m0")]), f"a GPTNeoXForCausalLM; {HOOKED}"),
        # Something else for a number.
        (lambda: ie.score(MODEL, PAIRS, steps="five"), "steps cannot be 'five'; give a whole number"),
        (lambda: ie.score(MODEL, PAIRS, method="random", seed=1.5), "seed cannot be 1.5; give a whole number"),
        (lambda: ie.score(MODEL, PAIRS, method="random", seed=-1), "seed cannot be -1; give a whole number of at"),
        (
            lambda: ie.Runs(MODEL, PAIRS, seed=None),
            "seed cannot be None; give a whole number",
        ),
        (
            lambda: ie.Runs(MODEL, PAIRS, seed=-1),
            "seed cannot be -1; give a whole number of at",
        ),
        (lambda: ie.Runs(MODEL, CIRCUIT), "pairs cannot be a Circuit; give pairs as"),
        (lambda: ie.Runs(PAIRS, MODEL), f"model cannot be a PromptPairs; {HOOKED}"),
        (lambda: ie.examine(MODEL, CIRCUIT), "the pairs are missing; give ie.Runs(model, pairs), or a model and pairs"),
        (lambda: ie.examine(PAIRS, CIRCUIT), "runs cannot be a PromptPairs; give the runs of a model on some pairs"),
        (lambda: ie.evaluate(MODEL, CIRCUIT, PAIRS, budget="1GB"), "budget cannot be '1GB'; give a whole number"),
        (lambda: ie.score(MODEL, PAIRS, budget=0), "budget (bytes) cannot be 0; give a whole number of at least 1"),
        (lambda: INDUCTION.sample(SMALLEST, "ten"), "n cannot be 'ten'; give a whole number"),
        (lambda: SCORES.top(2.5), "n cannot be 2.5; give a whole number"),
        (lambda: ie.find_circuit(ie.Runs(MODEL, PAIRS), target="most"), "target cannot be 'most'; give a number"),
        (lambda: PAIRS.split("half"), "share cannot be 'half'; give a number"),
        (
            lambda: ie.emergence.forming.in_context_scores(SMALLEST, [[1, 2]]),
            "tokens cannot be a list; give a tensor of shape",
        ),
    ],
)
def test_an_argument_of_the_wrong_kind_is_one_line_of_what_was_given_and_what_is_wanted(
    call: Callable[[], object], message: str
):
    with pytest.raises(InputError) as raised:
        call()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


ROOMS = (
    *(ie, ie.circuits, ie.circuits.finding, ie.circuits.running, ie.circuits.testing, ie.circuits.roles, ie.patching),
    *(ie.emergence.scale, ie.emergence.scale.continuations, ie.emergence.forming, ie.emergence.sameness),
)


def test_every_public_function_that_takes_a_model_or_pairs_is_checked():
    """Given nonsense for its first argument, none of them gets further than its door."""
    from inspect import isfunction, signature

    functions = {value for room in ROOMS for name in dir(room) if isfunction(value := getattr(room, name))}
    takes = [one for one in functions if {"model", "pairs", "circuit", "family"} & {*signature(one).parameters}]
    assert len(takes) > 30
    for function in takes:
        given = {
            name: object()
            for name, one in signature(function).parameters.items()
            if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        }
        with pytest.raises(InputError, match="cannot be an object; give"):
            function(**given)
