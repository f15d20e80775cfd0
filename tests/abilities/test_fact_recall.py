from interp_emerge.abilities import shelf


def recalled(words: list[str]) -> str:
    """The second name of the fact that the prompt asks for."""
    assert words[-1] == "follows"
    follows = {words[i - 1]: words[i + 1] for i, word in enumerate(words[:-1]) if word == "follows"}
    return follows[words[-2]]


def test_the_clean_prompt_gives_the_answer_and_the_corrupted_one_the_foil(speaker, read):
    pairs = shelf["fact_recall"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        assert [recalled(read(pairs.clean[row]))] == read(pairs.answer[row])
        assert [recalled(read(pairs.corrupt[row]))] == read(pairs.foil[row])


def test_the_ends_of_chains_agree_with_their_facts(speaker, read):
    pairs = shelf["fact_recall"].sample(speaker, n=32, seed=0)
    for prompt in (*pairs.clean, *pairs.corrupt):
        words = read(prompt)
        follows = {words[i - 1]: words[i + 1] for i, word in enumerate(words[:-1]) if word == "follows"}
        reaches = {words[i - 1]: words[i + 1] for i, word in enumerate(words) if word == "reaches"}
        assert all(follows[follows[start]] == end for start, end in reaches.items())


def test_both_prompts_of_a_pair_hold_the_same_words(speaker):
    pairs = shelf["fact_recall"].sample(speaker, n=32, seed=0)
    assert (pairs.clean.sort(1).values == pairs.corrupt.sort(1).values).all()
