"""The miniature language: sixty-four words whose statistics are known exactly.

The bundled family is trained on documents of this language. The abilities that are measured on it draw their prompts
from the same grammar. A document holds one kind of text:

* `markov`: words drawn from a first-order Markov chain. Only the last word is needed to predict the next, so models of
  every size learn it smoothly. It is the negative control for claims of emergence.
* `induction`: a segment of distinct random words, repeated.
* `indirect_object`: "When Mary and John met, John gave the book to Mary." with either name as the giver, in three
  wordings with different distances between the names.
* `modular_addition`: "three plus nine is one." modulo eleven.
* `two_hop`: "Mary follows John. John follows Anna. [...] Mary reaches Anna."
"""

from functools import cache

import numpy as np

BOS, UNKNOWN = "<bos>", "<unk>"
PUNCTUATION = [".", ","]
GRAMMAR = ["When", "At", "when", "and", "met", "at", "the", "gave", "to", "plus", "is", "follows", "reaches"]
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NAMES = [
    *["Mary", "John", "Anna", "Paul", "Lisa", "Mark", "Emma", "Jack", "Alice", "Peter"],
    *["Laura", "David", "Sarah", "James", "Maria", "Simon", "Julia", "Henry", "Kate", "Tom"],
]
THINGS = ["book", "ring", "cake", "lamp", "coin", "drum", "ball", "kite"]
PLACES = ["park", "beach", "school", "market", "farm", "lake", "forest", "tower"]
VOCABULARY = [BOS, UNKNOWN, *PUNCTUATION, *GRAMMAR, *NUMBERS, *NAMES, *THINGS, *PLACES]
CONTENT = [*NAMES, *THINGS, *PLACES]

MARKOV_SHARPNESS = 2.0
"""Standard deviation of the chain's transition logits, in nats."""


@cache
def markov_chain() -> np.ndarray:
    """Transition probabilities of the Markov chain, shape [word, next_word] over `CONTENT`; rows sum to one."""
    logits = MARKOV_SHARPNESS * np.random.default_rng(20240407).standard_normal((len(CONTENT), len(CONTENT)))
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


@cache
def markov_stationary() -> np.ndarray:
    """Long-run frequency of each word of `CONTENT` in the Markov chain, shape [word]."""
    return np.linalg.matrix_power(markov_chain(), 256)[0]


def markov_entropy() -> float:
    """Entropy rate of the Markov chain in nats per word: the lowest expected loss that a model can have on it."""
    chain = markov_chain()
    return float(-(markov_stationary()[:, None] * chain * np.log(chain)).sum())


def walk_markov(rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
    """Random walks of the Markov chain from its long-run frequencies: indices into `CONTENT`, shape [row, pos]."""
    cumulative = markov_chain().cumsum(1)
    words = np.empty((rows, length), dtype=np.int64)
    words[:, 0] = rng.choice(len(CONTENT), size=rows, p=markov_stationary())
    for position in range(1, length):
        draws = rng.random((rows, 1))
        words[:, position] = (draws > cumulative[words[:, position - 1]]).sum(1).clip(max=len(CONTENT) - 1)
    return words


def distinct(rng: np.random.Generator, rows: int, size: int, choose: int) -> np.ndarray:
    """Different integers below `size` in each row, in random order, shape [row, choose]."""
    return rng.permuted(np.tile(np.arange(size), (rows, 1)), axis=1)[:, :choose]
