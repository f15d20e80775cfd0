"""Prompt pairs from one's own token ids: any container goes in, and what makes no pair is named."""

import re

import numpy as np
import pytest
import torch

import interp_emerge as ie

CLEAN, CORRUPT = [[1, 2, 3], [4, 5, 6]], [[1, 9, 3], [4, 8, 6]]


def test_lists_arrays_and_tensors_make_the_same_pairs() -> None:
    lists = ie.PromptPairs(clean=CLEAN, corrupt=CORRUPT, answer=[7, 7], foil=[8, 8])
    arrays = ie.PromptPairs(
        clean=np.array(CLEAN), corrupt=np.array(CORRUPT), answer=np.array([7, 7]), foil=np.array([8, 8], dtype=np.int32)
    )
    tensors = ie.PromptPairs(
        clean=torch.tensor(CLEAN), corrupt=torch.tensor(CORRUPT), answer=torch.tensor([7, 7]), foil=torch.tensor([8, 8])
    )

    assert lists.fingerprint == arrays.fingerprint == tensors.fingerprint
    assert len(lists) == 2 and lists.length == 3


def test_the_fingerprint_changes_with_any_token() -> None:
    pairs = ie.PromptPairs(clean=CLEAN, corrupt=CORRUPT, answer=[7, 7], foil=[8, 8])
    others = [
        ie.PromptPairs(clean=[[1, 2, 3], [4, 5, 0]], corrupt=CORRUPT, answer=[7, 7], foil=[8, 8]),
        ie.PromptPairs(clean=CLEAN, corrupt=CORRUPT, answer=[7, 6], foil=[8, 8]),
        ie.PromptPairs(clean=CORRUPT, corrupt=CLEAN, answer=[7, 7], foil=[8, 8]),
    ]

    assert len({pairs.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_some_of_the_pairs_are_pairs() -> None:
    pairs = ie.PromptPairs(
        clean=CLEAN, corrupt=CORRUPT, answer=[7, 6], foil=[8, 8], templates=["a", "b"], positions={"last": [2, 2]}
    )

    assert pairs[1:].templates == ("b",)
    assert pairs[[1, 0]].answer.tolist() == [6, 7]
    assert pairs[torch.tensor([True, False])].positions["last"].tolist() == [2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean": [[1, 2, 3], [4, 5]]}, "prompts need equal lengths"),
        ({"clean": [[1, 2], [4, 5]]}, "shapes [2, 2] and [2, 3]"),
        ({"clean": [], "corrupt": []}, "clean is empty"),
        ({"clean": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}, "not integer token ids"),
        ({"answer": [7]}, "2 pairs need 2 answers and foils, not 1 and 2"),
        ({"foil": [8, 7]}, "pair 1 has the same token as answer and foil"),
        ({"templates": ["a"]}, "2 pairs need 2 template names"),
    ],
)
def test_what_makes_no_pairs_is_named(changed: dict, message: str) -> None:
    given = {"clean": CLEAN, "corrupt": CORRUPT, "answer": [7, 7], "foil": [8, 8], **changed}
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.PromptPairs(**given)
