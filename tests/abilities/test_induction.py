from interp_emerge.abilities import shelf
from interp_emerge.abilities.induction import REPEATED, SEGMENT


def after_first_occurrence(words: list[str]) -> str:
    return words[words.index(words[-1]) + 1]


def test_the_successor_of_the_last_token_is_the_answer_or_the_foil_if_corrupted(speaker, read):
    pairs = shelf["induction"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        clean, corrupt = read(pairs.clean[row]), read(pairs.corrupt[row])
        assert [after_first_occurrence(clean)] == read(pairs.answer[row])
        assert [after_first_occurrence(corrupt)] == read(pairs.foil[row])


def test_the_prompt_is_a_segment_of_distinct_words_and_its_beginning_again(speaker, read):
    words = read(shelf["induction"].sample(speaker, n=1, seed=0).clean[0])
    assert len(set(words[:SEGMENT])) == SEGMENT
    assert words[SEGMENT:] == words[:REPEATED]


def test_only_the_order_of_the_first_pass_tells_clean_from_corrupt(speaker):
    pairs = shelf["induction"].sample(speaker, n=32, seed=0)
    assert (pairs.clean.sort(1).values == pairs.corrupt.sort(1).values).all()
    assert (pairs.clean[:, -REPEATED:] == pairs.corrupt[:, -REPEATED:]).all()
    assert ((pairs.clean != pairs.corrupt).sum(1) == 2).all()


def test_the_named_positions_point_at_the_first_occurrence_and_at_the_answer(speaker):
    pairs = shelf["induction"].sample(speaker, n=32, seed=0)
    rows = range(len(pairs))
    assert (pairs.clean[rows, pairs.positions["first occurrence"]] == pairs.clean[:, -1]).all()
    assert (pairs.clean[rows, pairs.positions["after first occurrence"]] == pairs.answer).all()
