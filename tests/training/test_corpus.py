"""Documents are what they claim to be, and hold as much information as they say."""

from math import log

import numpy as np
import pytest

from interp_emerge.abilities import _language as language
from interp_emerge.training import corpus
from interp_emerge.training.corpus import CONTEXT, KINDS, Documents
from interp_emerge.training.trainer import held_out_documents

ROWS = 200


def draw(kind: str, rows: int = ROWS, seed: int = 0) -> Documents:
    return KINDS[kind](np.random.default_rng(seed), rows)


def texts(documents: Documents) -> list[list[str]]:
    """Each document's words after the beginning-of-text token."""
    return [[language.VOCABULARY[token] for token in row[1:]] for row in documents.tokens]


def sentences(words: list[str]) -> list[list[str]]:
    """Whole sentences, without their full stops."""
    return [sentence.split() for sentence in " ".join(words).split(" .")[:-1]]


@pytest.mark.parametrize("kind", KINDS)
def test_documents_fill_the_context_after_one_beginning_of_text(kind: str):
    tokens = draw(kind).tokens
    assert tokens.shape == (ROWS, CONTEXT)
    begin = language.VOCABULARY.index(language.BOS)
    assert (tokens[:, 0] == begin).all()
    assert not np.isin(tokens[:, 1:], [begin, language.VOCABULARY.index(language.UNKNOWN)]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_writes_the_same_documents(kind: str):
    first, again, other = draw(kind), draw(kind), draw(kind, seed=1)
    assert (first.tokens == again.tokens).all()
    assert (first.nats == again.nats).all()
    assert (first.tokens != other.tokens).any()


@pytest.mark.parametrize("kind", KINDS)
def test_information_is_positive_and_less_than_that_of_random_words(kind: str):
    documents = draw(kind)
    assert (documents.nats > 0).all()
    assert 0 < documents.floor < log(len(language.VOCABULARY))


def test_markov_words_follow_one_another_as_often_as_the_chain_says():
    words = draw("markov", 4000).tokens[:, 1:]
    content = {language.VOCABULARY.index(word): place for place, word in enumerate(language.CONTENT)}
    counts = np.zeros((len(content), len(content)))
    for row in words:
        places = [content[token] for token in row]
        np.add.at(counts, (places[:-1], places[1:]), 1)
    expected = counts.sum(1, keepdims=True) * language.markov_chain()
    deviation = (counts - expected)[expected > 20] / np.sqrt(expected[expected > 20])
    assert np.abs(deviation).max() < 5


def test_the_markov_floor_is_the_analytic_entropy():
    documents = draw("markov", 4000)
    stationary = language.markov_stationary()
    first_word = -(stationary * np.log(stationary)).sum()
    expected = (first_word + (CONTEXT - 2) * language.markov_entropy()) / (CONTEXT - 1)
    error = documents.nats.std() / np.sqrt(4000) / (CONTEXT - 1)
    assert documents.floor == pytest.approx(expected, abs=4 * error)
    assert error < 0.01 * expected


def test_an_induction_document_repeats_a_segment_of_distinct_words():
    for words in texts(draw("induction")):
        length = words.index(words[0], 1)
        assert length in corpus.SEGMENT_LENGTHS
        assert len(set(words[:length])) == length
        assert words[length:] == words[: len(words) - length]


def test_the_induction_floor_is_that_of_choosing_a_length_and_a_segment():
    words, lengths = len(corpus.ORDINARY), corpus.SEGMENT_LENGTHS
    segment = [sum(log(words - i) for i in range(length)) for length in lengths]
    expected = [log(len(lengths)) + nats for nats in segment]
    documents = draw("induction", 4000)
    assert set(documents.nats.round(9)) == set(np.round(expected, 9))
    error = documents.nats.std() / np.sqrt(4000) / (CONTEXT - 1)
    assert documents.floor == pytest.approx(np.mean(expected) / (CONTEXT - 1), abs=4 * error)


def test_the_one_who_receives_is_the_one_who_met_and_does_not_give():
    whole = [sentence for words in texts(draw("indirect_object")) for sentence in sentences(words)]
    assert len(whole) > 2 * ROWS
    for sentence in whole:
        first, second, subject, receiver = (word for word in sentence if word in language.NAMES)
        assert first != second
        assert {subject, receiver} == {first, second}
        assert sentence[sentence.index("gave") - 1] == subject
        assert sentence[-2:] == ["to", receiver]


def test_both_orders_of_names_and_three_wordings_occur():
    whole = [sentence for words in texts(draw("indirect_object")) for sentence in sentences(words)]
    wordings = {(sentence[0], "at" in sentence) for sentence in whole}
    assert wordings == {("When", False), ("When", True), ("At", False)}
    names = [[word for word in sentence if word in language.NAMES] for sentence in whole]
    share = np.mean([first == subject for first, _, subject, _ in names])
    assert share == pytest.approx(0.5, abs=0.05)


def giving_nats(words: list[str]) -> float:
    """Information of a document of giving sentences, read off its words alone; the last sentence may be cut."""
    choices: list[float] = []
    sentence: list[str] = []
    for word in words:
        before, met = sentence[-1:], [name for name in sentence if name in language.NAMES]
        if not sentence:
            choices.append(3 if word == "At" else 3 / 2)
        elif word in language.NAMES and len(met) < 2:
            choices.append(len(language.NAMES) - len(met))
        elif (word in language.NAMES and before == [","]) or (before == ["met"] and sentence[0] == "When"):
            choices.append(2)
        elif word in language.PLACES or word in language.THINGS:
            choices.append(8)
        sentence = [] if word == "." else [*sentence, word]
    return sum(log(choice) for choice in choices)


def test_the_information_of_giving_sentences_is_that_of_their_words():
    documents = draw("indirect_object")
    assert [giving_nats(words) for words in texts(documents)] == pytest.approx(documents.nats.tolist())


def test_sums_are_right_modulo_eleven():
    documents = draw("modular_addition")
    number = {word: value for value, word in enumerate(language.NUMBERS)}
    for words in texts(documents):
        assert words[-1] == "."
        for left, plus, right, equals, total in sentences(words):
            assert (plus, equals) == ("plus", "is")
            assert (number[left] + number[right]) % 11 == number[total]


def test_a_sum_holds_the_information_of_its_two_numbers():
    documents = draw("modular_addition")
    assert documents.nats.tolist() == pytest.approx([2 * (CONTEXT - 1) / 6 * log(11)] * ROWS)


def test_two_hop_answers_follow_from_the_facts_before_them():
    for words in texts(draw("two_hop")):
        whole = sentences(words)
        facts, questions, recalled = whole[:6], whole[6:9], whole[9:]
        follows = {name: other for name, verb, other in facts if verb == "follows"}
        assert len(follows) == 6
        starts = set(follows) - set(follows.values())
        assert {start for start, _, _ in questions} == starts
        for start, verb, end in questions:
            assert verb == "reaches"
            assert follows[follows[start]] == end
        assert len(recalled) == 3
        assert all(sentence in facts for sentence in recalled)


def test_the_information_of_two_hop_documents_is_that_of_their_names_and_orders():
    names = sum(log(20 - i) for i in range(9))
    orders = log(720 / 6) + log(6) + log(6 * 5 * 4)
    assert draw("two_hop").nats.tolist() == pytest.approx([names + orders] * ROWS)


def test_a_batch_holds_what_was_asked_for():
    batch = corpus.mixed_batch(np.random.default_rng(0), {"modular_addition": 3, "induction": 2})
    again = corpus.mixed_batch(np.random.default_rng(0), {"modular_addition": 3, "induction": 2})
    assert batch.shape == (5, CONTEXT)
    assert (batch == again).all()
    plus = language.VOCABULARY.index("plus")
    assert (batch[:3] == plus).sum() == 24


def test_held_out_documents_are_none_that_training_sees():
    """Drawn from generators that training never has; long documents do not come twice by chance."""
    trained = np.random.default_rng([0, 16, 1])
    seen = {row.tobytes() for _ in range(50) for row in corpus.mixed_batch(trained, dict.fromkeys(KINDS, 10))}
    held_out = [row.tobytes() for documents in held_out_documents().values() for row in documents.tokens]
    assert len(set(held_out)) == len(held_out) == 64 * len(KINDS)
    assert seen.isdisjoint(held_out)


def test_held_out_documents_are_always_the_same():
    for first, again in zip(held_out_documents().values(), held_out_documents().values(), strict=True):
        assert (first.tokens == again.tokens).all()
