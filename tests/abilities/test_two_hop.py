from interp_emerge.abilities import shelf


def end_of_chain(words: list[str]) -> str:
    """The name that two facts lead to from the name in the question."""
    follows = {words[i - 1]: words[i + 1] for i, word in enumerate(words) if word == "follows"}
    assert words[-1] == "reaches"
    return follows[follows[words[-2]]]


def test_the_answer_ends_the_chain_in_the_clean_prompt_and_the_foil_in_the_corrupted_one(speaker, read):
    pairs = shelf["two_hop"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        assert [end_of_chain(read(pairs.clean[row]))] == read(pairs.answer[row])
        assert [end_of_chain(read(pairs.corrupt[row]))] == read(pairs.foil[row])


def test_both_prompts_of_a_pair_hold_the_same_words_with_two_of_them_exchanged(speaker):
    pairs = shelf["two_hop"].sample(speaker, n=32, seed=0)
    assert (pairs.clean.sort(1).values == pairs.corrupt.sort(1).values).all()
    assert ((pairs.clean != pairs.corrupt).sum(1) == 2).all()


def test_no_single_fact_gives_the_answer_away(speaker, read):
    pairs = shelf["two_hop"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        words, [answer] = read(pairs.clean[row]), read(pairs.answer[row])
        assert words.count(answer) == 1
        asked = words[-2]
        assert words[words.index(answer) - 2] != asked
