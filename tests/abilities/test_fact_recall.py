from interp_emerge.abilities import shelf


def told(words: list[str]) -> str:
    """What the fact about the name that is asked again says."""
    assert words[-1] == "follows"
    follows = {words[i - 1]: words[i + 1] for i, word in enumerate(words[:-1]) if word == "follows"}
    return follows[words[-2]]


def test_the_answer_was_told_in_the_clean_prompt_and_the_foil_in_the_corrupt_one(speaker, read):
    pairs = shelf["fact_recall"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        assert [told(read(pairs.clean[row]))] == read(pairs.answer[row])
        assert [told(read(pairs.corrupt[row]))] == read(pairs.foil[row])


def test_what_the_chains_lead_to_agrees_with_their_facts(speaker, read):
    pairs = shelf["fact_recall"].sample(speaker, n=32, seed=0)
    for prompt in (*pairs.clean, *pairs.corrupt):
        words = read(prompt)
        follows = {words[i - 1]: words[i + 1] for i, word in enumerate(words[:-1]) if word == "follows"}
        reaches = {words[i - 1]: words[i + 1] for i, word in enumerate(words) if word == "reaches"}
        assert all(follows[follows[start]] == end for start, end in reaches.items())


def test_clean_and_corrupt_hold_the_same_words(speaker):
    pairs = shelf["fact_recall"].sample(speaker, n=32, seed=0)
    assert (pairs.clean.sort(1).values == pairs.corrupt.sort(1).values).all()
