from interp_emerge.abilities import _language as language, shelf


def likeliest_next(word: str) -> str:
    return language.CONTENT[language.markov_chain()[language.CONTENT.index(word)].argmax()]


def test_the_answer_is_the_likeliest_next_word_and_the_foil_that_of_the_corrupted_prompt(speaker, read):
    pairs = shelf["markov"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        assert [likeliest_next(read(pairs.clean[row])[-1])] == read(pairs.answer[row])
        assert [likeliest_next(read(pairs.corrupt[row])[-1])] == read(pairs.foil[row])


def test_both_prompts_of_a_pair_differ_in_the_last_word_alone(speaker):
    pairs = shelf["markov"].sample(speaker, n=32, seed=0)
    assert (pairs.clean[:, :-1] == pairs.corrupt[:, :-1]).all()


def test_it_is_the_control():
    assert [ability.name for ability in shelf if ability.control] == ["markov"]
