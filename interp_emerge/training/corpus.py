"""Random documents of the miniature language, with the information content of each.

Every kind of document is a function from a random generator and a number of documents to `Documents`. The information
content of a document is minus the log-probability of its text under the grammar that generated it. The mean over
documents, divided by the number of tokens that a model has to predict, is the entropy floor of the kind: the loss of a
perfect model that knows the kind. If the model does not know the kind, each document costs at most the entropy of the
mixture in addition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial, log

import numpy as np

from interp_emerge.abilities import _language as language

CONTEXT = 49
"""Number of tokens in a document, including the beginning-of-text token."""
SEGMENT_LENGTHS = range(6, 21)
CHAINS = 3

Sentence = list[tuple[str, int | float]]
"""Words, each with the inverse of its probability given the words before it."""

ID = {word: index for index, word in enumerate(language.VOCABULARY)}
ORDINARY = np.array([ID[word] for word in language.VOCABULARY if word not in (language.BOS, language.UNKNOWN)])
CONTENT = np.array([ID[word] for word in language.CONTENT])


@dataclass(frozen=True, kw_only=True, eq=False)
class Documents:
    """Token ids, shape [document, CONTEXT], and the information content in nats, shape [document]."""

    tokens: np.ndarray
    nats: np.ndarray

    @property
    def floor(self) -> float:
        """Entropy floor in nats per predicted token, estimated over these documents."""
        return float(self.nats.mean() / (self.tokens.shape[1] - 1))


def markov(rng: np.random.Generator, rows: int) -> Documents:
    """Background text: a first-order Markov chain that starts from its stationary distribution."""
    words = language.walk_markov(rng, rows, CONTEXT - 1)
    steps = np.log(language.markov_chain())[words[:, :-1], words[:, 1:]].sum(1)
    return _documents(CONTENT[words], -np.log(language.markov_stationary()[words[:, 0]]) - steps)


def induction(rng: np.random.Generator, rows: int) -> Documents:
    """A segment of distinct random words, repeated to the end of the document."""
    lengths = rng.choice(SEGMENT_LENGTHS, size=rows)
    words = ORDINARY[language.distinct(rng, rows, len(ORDINARY), max(SEGMENT_LENGTHS))]
    columns = np.arange(CONTEXT - 1)[None, :] % lengths[:, None]
    choices = np.log(len(ORDINARY) - np.arange(max(SEGMENT_LENGTHS))).cumsum()
    return _documents(np.take_along_axis(words, columns, axis=1), choices[lengths - 1] + log(len(SEGMENT_LENGTHS)))


def indirect_object(rng: np.random.Generator, rows: int) -> Documents:
    """Sentences in which the name that is not repeated receives a thing."""
    return _stack([_fill(rng, _giving_sentence) for _ in range(rows)])


def modular_addition(rng: np.random.Generator, rows: int) -> Documents:
    """Sums of two number words, modulo the number of such words."""
    return _stack([_fill(rng, _sum_sentence) for _ in range(rows)])


def two_hop(rng: np.random.Generator, rows: int) -> Documents:
    """Facts of three chains in random order, the two-hop question of each chain, then three facts again."""
    return _stack([_chains_document(rng) for _ in range(rows)])


KINDS: dict[str, Callable[[np.random.Generator, int], Documents]] = {
    kind.__name__: kind for kind in (markov, induction, indirect_object, modular_addition, two_hop)
}


def mixed_batch(rng: np.random.Generator, rows: dict[str, int]) -> np.ndarray:
    """One training batch with the given number of documents of each kind, shape [document, CONTEXT]."""
    return np.concatenate([KINDS[kind](rng, count).tokens for kind, count in rows.items()])


def _giving_sentence(rng: np.random.Generator) -> Sentence:
    first, second = rng.choice(len(language.NAMES), size=2, replace=False)
    names = language.NAMES[first], language.NAMES[second]
    subject = int(rng.integers(2))
    thing = (str(rng.choice(language.THINGS)), len(language.THINGS))
    place = (str(rng.choice(language.PLACES)), len(language.PLACES))
    pair = [(names[0], len(language.NAMES)), ("and", 1), (names[1], len(language.NAMES) - 1), ("met", 1)]
    opening = {
        0: [("When", 1.5), *pair, (",", 2)],
        1: [("When", 1.5), *pair, ("at", 2), ("the", 1), place, (",", 1)],
        2: [("At", 3), ("the", 1), place, ("when", 1), *pair, (",", 1)],
    }[int(rng.integers(3))]
    giving = [(names[subject], 2), ("gave", 1), ("the", 1), thing, ("to", 1), (names[1 - subject], 1), (".", 1)]
    return [*opening, *giving]


def _sum_sentence(rng: np.random.Generator) -> Sentence:
    count = len(language.NUMBERS)
    left, right = rng.integers(count, size=2)
    left_word, right_word, total = (language.NUMBERS[i] for i in (left, right, (left + right) % count))
    return [(left_word, count), ("plus", 1), (right_word, count), ("is", 1), (total, 1), (".", 1)]


def _chains_document(rng: np.random.Generator) -> tuple[list[str], float]:
    names = [language.NAMES[i] for i in rng.permutation(len(language.NAMES))[: 3 * CHAINS]]
    chains = [names[3 * i : 3 * i + 3] for i in range(CHAINS)]
    facts = [(chain[hop], "follows", chain[hop + 1]) for chain in chains for hop in range(2)]
    facts = [facts[i] for i in rng.permutation(len(facts))]
    questions = [(chains[i][0], "reaches", chains[i][2]) for i in rng.permutation(CHAINS)]
    recalled = [facts[i] for i in rng.permutation(len(facts))[:CHAINS]]
    words = [word for sentence in [*facts, *questions, *recalled] for word in (*sentence, ".")]
    named = sum(log(len(language.NAMES) - i) for i in range(3 * CHAINS))
    orders = factorial(2 * CHAINS) // factorial(CHAINS), factorial(CHAINS), factorial(2 * CHAINS) // factorial(CHAINS)
    return words, named + sum(log(order) for order in orders)


def _fill(rng: np.random.Generator, sentence: Callable) -> tuple[list[str], float]:
    """The words of a document, filled with sentences of which the last is cut, and its information content in nats."""
    words: Sentence = []
    while len(words) < CONTEXT - 1:
        words += sentence(rng)
    kept = words[: CONTEXT - 1]
    return [word for word, _ in kept], sum(log(inverse) for _, inverse in kept)


def _stack(documents: list[tuple[list[str], float]]) -> Documents:
    tokens = np.array([[ID[word] for word in words] for words, _ in documents])
    return _documents(tokens, np.array([nats for _, nats in documents]))


def _documents(tokens: np.ndarray, nats: np.ndarray) -> Documents:
    first = np.full((len(tokens), 1), ID[language.BOS])
    return Documents(tokens=np.concatenate([first, tokens], axis=1), nats=nats)
