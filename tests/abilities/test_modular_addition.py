from interp_emerge.abilities import shelf
from interp_emerge.abilities._language import NUMBERS


def total(words: list[str]) -> str:
    left, plus, right, equals = words
    assert (plus, equals) == ("plus", "is")
    return NUMBERS[(NUMBERS.index(left) + NUMBERS.index(right)) % 11]


def test_the_answer_is_the_sum_modulo_eleven_and_the_foil_the_corrupt_prompts_sum(speaker, read):
    pairs = shelf["modular_addition"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        assert [total(read(pairs.clean[row]))] == read(pairs.answer[row])
        assert [total(read(pairs.corrupt[row]))] == read(pairs.foil[row])


def test_the_corrupt_prompt_changes_one_number_and_says_which(speaker):
    pairs = shelf["modular_addition"].sample(speaker, n=32, seed=0)
    first, second = 1, 3  # after the beginning-of-text token
    for row, template in enumerate(pairs.templates):
        changed = (pairs.clean[row] != pairs.corrupt[row]).nonzero().flatten().tolist()
        assert changed == [{"first number changed": first, "second number changed": second}[template]]
