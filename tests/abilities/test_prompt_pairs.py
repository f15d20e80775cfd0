"""Prompt pairs from one's own token ids: any container is accepted, and errors name what does not make pairs."""

import re
from collections.abc import Sequence

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


def numbered_pairs(n: int, *, templates: Sequence[str] = (), repeats: int = 1) -> ie.PromptPairs:
    """Pairs whose answers number them; each prompt occurs `repeats` times in a row."""
    prompts = torch.arange(n) // repeats
    return ie.PromptPairs(
        clean=torch.stack([prompts, prompts], 1),
        corrupt=torch.stack([prompts, prompts + 1], 1),
        answer=torch.arange(n),
        foil=torch.arange(n) + 1,
        templates=templates,
    )


@pytest.mark.parametrize(("share", "n"), [(0.5, 20), (0.25, 10), (0.9, 36)])
def test_a_split_shares_out_every_pair_once_in_its_order_and_follows_its_seed(share: float, n: int) -> None:
    pairs = numbered_pairs(40)
    found, judged = (side.answer.tolist() for side in pairs.split(share))

    assert (len(found), sorted(found + judged)) == (n, list(range(40)))
    assert found == sorted(found) and judged == sorted(judged)
    assert found == pairs.split(share)[0].answer.tolist()
    assert found != pairs.split(share, seed=1)[0].answer.tolist()


def test_a_split_takes_its_share_of_every_template() -> None:
    pairs = numbered_pairs(40, templates=["common"] * 30 + ["rare"] * 10)
    for side in pairs.split():
        assert (side.templates.count("common"), side.templates.count("rare")) == (15, 5)
    each_its_own = numbered_pairs(40, templates=[str(i) for i in range(40)])
    assert [len(side) for side in each_its_own.split(0.25)] == [10, 30]


@pytest.mark.parametrize("repeats", [2, 3, 7])
def test_a_prompt_that_is_asked_more_than_once_stands_on_one_side(repeats: int) -> None:
    pairs = numbered_pairs(60, repeats=repeats)
    for seed in range(5):
        found, judged = pairs.split(seed=seed)
        assert not {*found.clean[:, 0].tolist()} & {*judged.clean[:, 0].tolist()}
        assert abs(len(found) - 30) <= repeats / 2
        assert len(found) + len(judged) == 60


@pytest.mark.parametrize(
    ("pairs", "share", "message"),
    [
        (numbered_pairs(1), 0.5, "split(0.5) of 1 pair leaves one part empty; give more pairs with different"),
        (numbered_pairs(6, repeats=6), 0.5, "split(0.5) of 6 pairs leaves one part empty"),
        (numbered_pairs(6), 0.01, "split(0.01) of 6 pairs leaves one part empty"),
        (numbered_pairs(6), 1.0, "the share of a split cannot be 1; give a number between 0 and 1"),
        (numbered_pairs(6), 0.0, "the share of a split cannot be 0; give a number between 0 and 1"),
    ],
)
def test_a_split_with_an_empty_side_is_refused(pairs: ie.PromptPairs, share: float, message: str) -> None:
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        pairs.split(share)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean": [[1, 2, 3], [4, 5]]}, "the prompts of pair 1 have 2 and 3 tokens; give both the same length"),
        ({"clean": [[1, 2], [4, 5]]}, "the prompts of pair 0 have 2 and 3 tokens; give both the same length"),
        ({"clean": [], "corrupt": []}, "clean is empty"),
        ({"clean": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}, "not integer token ids"),
        ({"answer": [7]}, "2 pairs need 2 answers and foils, not arrays of shape [1] and [2]"),
        ({"clean": ["a b c", "d e f"]}, "clean is a list of text; give token ids, as model.encode(text) returns them"),
        ({"foil": [8, 7]}, "pair 1 has the same token as answer and foil"),
        ({"templates": ["a"]}, "2 pairs need 2 template names"),
        ({"answer": [7, -1]}, "pair 1 has no answer; give each pair at least one"),
        ({"answer": [[7], []]}, "pair 1 has no answer; give each pair at least one"),
        ({"answer": [[7], [6, 7, 6]]}, "pair 1 has the answer 6 twice; give each token once"),
        ({"clean": [[1, 2, 3], []]}, "clean prompt 1 is empty; give at least one token"),
        ({"continuation": [[7, 1], [7, -2]]}, "the continuation contains an id below 0; give token ids, and -1 only"),
        ({"continuation": [[7, -1, 1], [7, 2, 1]]}, "the continuation contains an id below 0"),
    ],
)
def test_what_makes_no_pairs_is_named(changed: dict, message: str) -> None:
    given = {"clean": CLEAN, "corrupt": CORRUPT, "answer": [7, 7], "foil": [8, 8], **changed}
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.PromptPairs(**given)


def test_prompts_may_be_a_list_of_tensors() -> None:
    pairs = ie.PromptPairs(clean=[*torch.tensor(CLEAN)], corrupt=[*torch.tensor(CORRUPT)], answer=[7, 7], foil=[8, 8])
    assert (pairs.clean.tolist(), repr(pairs[0])) == ([[*row] for row in CLEAN], "PromptPairs(1 pair of 3 tokens)")


def placed(index: object, n: int = 3, length: int = 5) -> ie.PromptPairs:
    prompts = np.arange(n * length).reshape(n, length)
    return ie.PromptPairs(clean=prompts, corrupt=prompts, answer=[7] * n, foil=[8] * n, positions={"end": index})


@pytest.mark.parametrize(
    "index", [[-1, -1, -1], [4, -1, 4], np.array([-1, 4, -1], dtype=np.int8), torch.tensor([-1, -1, 4])]
)
def test_positions_below_zero_count_from_the_end(index: object) -> None:
    assert placed(index).positions["end"].tolist() == [4, 4, 4]
    assert placed([-5, 0, -2])[[2, 0]].positions["end"].tolist() == [3, 0]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([4, 5, 4], "position 'end' of pair 1 is 5, beyond the prompt's 5 tokens; give 0 to 4, or -1 to -5 counted"),
        ([4, 4, -6], "position 'end' of pair 2 is -6, beyond the prompt's 5 tokens"),
        ([1, 2], "position 'end' has indices of shape [2] for 3 pairs; give one index for each pair"),
        ([1, 2, 3, 4], "position 'end' has indices of shape [4] for 3 pairs"),
        ([[1], [2], [3]], "position 'end' has indices of shape [3, 1] for 3 pairs"),
        ([], "position 'end' has indices of shape [0] for 3 pairs"),
        (3, "position 'end' has a single number for 3 pairs; give one index for each pair"),
        ([1.0, 2.0, 3.0], "position 'end' holds torch.float32; give whole numbers, counted from 0"),
        ([True, False, True], "position 'end' holds torch.bool; give whole numbers"),
        (["a", "b", "c"], "position 'end' is not a list of whole numbers"),
        (None, "position 'end' is not a list of whole numbers"),
        ([1, [2], 3], "position 'end' is not a list of whole numbers"),
    ],
)
def test_positions_that_do_not_fit_the_pairs_are_refused_when_these_are_made(index: object, message: str) -> None:
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        placed(index)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": [0, 1]}, "positions cannot be a list; give a dict from text to"),
        ({"positions": {0: [1, 1]}}, "positions cannot be a dict; give a dict from text to"),
        ({"templates": "ab"}, "templates cannot be 'ab'; give a list of names"),
        ({"clean": None}, "clean cannot be None; give a tensor or a NumPy array or a list"),
        ({"clean": "abc"}, "clean cannot be 'abc'; give token ids"),
        ({"clean": ["abc", "abd"]}, "clean is a list of text; give token ids"),
        ({"clean": {"input_ids": CLEAN}}, "clean cannot be a dict; give a tensor or a NumPy array or a list"),
        ({"answer": 7, "foil": 8}, "answer cannot be 7; give a tensor or a NumPy array or a list"),
    ],
)
def test_what_is_of_another_kind_is_said(changed: dict, message: str) -> None:
    given = {"clean": CLEAN, "corrupt": CORRUPT, "answer": [7, 7], "foil": [8, 8], **changed}
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.PromptPairs(**given)
