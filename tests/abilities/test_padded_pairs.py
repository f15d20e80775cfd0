"""Every function that takes pairs refuses padded prompts, and tokens and answers that the model does not have."""

from collections.abc import Callable
from dataclasses import replace

import pytest

import interp_emerge as ie
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.measuring import measure
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from tests.models.small_models import VOCABULARY, build, random_pairs
from tests.patching.scored import score_edges

PAD = 3
MODEL = ie.hook(build("llama", pad_token_id=PAD))
SOUND = replace(random_pairs(8), positions={"last": [6] * 8})
SOUND = replace(SOUND, clean=SOUND.clean.masked_fill(SOUND.clean == PAD, 4), corrupt=SOUND.corrupt.masked_fill(
    SOUND.corrupt == PAD, 4))  # fmt: skip
SCORES = score_edges(MODEL, SOUND, method="random")
CIRCUIT = ie.Circuit.from_nodes(MODEL, ["a0.h1", "a1.h0", "m1"])
Entry = Callable[[HookedModel, ie.PromptPairs], object]


def drawn(pairs: ie.PromptPairs) -> Ability:
    """An ability that always draws these pairs."""
    return Ability(name="x", summary="", source=Source("x", 2020, "x"), chance=0.0, draw=lambda *_: pairs)


ENTRIES: dict[str, Entry] = {
    "score": ie.score,
    "score by patching": lambda model, pairs: ie.score(model, pairs, method="activation_patching"),
    "estimate": ie.estimate,
    "evaluate": lambda model, pairs: ie.evaluate(model, CIRCUIT, pairs),
    "Runs": ie.Runs,
    "faithfulness_curve": lambda model, pairs: ie.faithfulness_curve(model, SCORES, pairs),
    "transfer": lambda model, pairs: ie.emergence.sameness.transfer({"a": CIRCUIT}, model, pairs),
    "transfer to labelled models": lambda model, pairs: ie.emergence.sameness.transfer(
        {"a": CIRCUIT}, [("m", model)], lambda _: pairs
    ),
    "ablate": lambda model, pairs: ie.ablate(model, ["m0"], pairs),
    "attention_at": lambda model, pairs: ie.circuits.roles.attention_at(model, pairs, CIRCUIT),
    "role_table": lambda model, pairs: ie.role_table(model, roles=["function_vector"], pairs=pairs),
    "answer_sampler": ie.emergence.scale.answer_sampler,
    "several_tokens": lambda model, pairs: ie.emergence.scale.continuations.several_tokens(
        model, replace(pairs, continuation=pairs.answer[:, None])
    ),
    "measure_ladder": lambda model, pairs: ie.emergence.scale.measure_ladder(model, drawn(pairs), n=8),
    "measure": lambda model, pairs: measure(model, [drawn(pairs)], n=8),
}


def padded(side: str, column: int) -> ie.PromptPairs:
    tokens = getattr(SOUND, side).clone()
    tokens[5, column] = PAD
    return replace(SOUND, **{side: tokens})


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("side", "column"), [("clean", 0), ("clean", 6), ("corrupt", 0)])
def test_pairs_with_padding_are_refused_everywhere(entry: str, side: str, column: int):
    with pytest.raises(InputError, match=f"contains the padding token {PAD}"):
        ENTRIES[entry](MODEL, padded(side, column))


@pytest.mark.parametrize("entry", ["score", "estimate", "evaluate", "ablate", "attention_at", "measure"])
@pytest.mark.parametrize("field", ["clean", "corrupt", "answer", "foil"])
def test_tokens_that_the_model_does_not_have_are_refused(entry: str, field: str):
    ids = getattr(SOUND, field).clone()
    ids[2] = VOCABULARY + 1
    with pytest.raises(InputError, match=f"token ids go from . to {VOCABULARY + 1}, but .* has {VOCABULARY} tokens"):
        ENTRIES[entry](MODEL, replace(SOUND, **{field: ids}))


@pytest.mark.parametrize("entry", ["score", "evaluate", "ablate", "measure", "answer_sampler", "attention_at"])
def test_the_same_pairs_without_padding_are_taken(entry: str):
    ENTRIES[entry](MODEL, SOUND)


def test_prompts_with_padding_are_refused_where_no_pairs_are_asked_for():
    tokens = padded("clean", 0).clean
    with pytest.raises(InputError, match=f"contains the padding token {PAD}"):
        ie.emergence.forming.in_context_scores(MODEL, tokens)
