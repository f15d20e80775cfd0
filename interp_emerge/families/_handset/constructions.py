"""The constructions of the family `handset`: models whose circuits are known, because their weights are set by hand.

Each function returns a model, and its docstring names the edges that carry the ability. Features are `tok` (the token
at this position), `pos` (the position), `prev` (the previous token), `out` (the token to predict) and `noise` (written
by distractors, and read by no head or MLP of the circuit). The *sink* is the first token: a query without a match
attends to it, and reads nothing there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp_emerge.families._handset.weights import (
    BOS,
    POSITIONS,
    SHARPNESS,
    VOCABULARY,
    Handset,
    Stream,
    any_but,
    new_gpt2,
    new_llama,
    shifted,
    stacked,
)

Edges = tuple[tuple[str, str], ...]
SEEN, NEW = 1, 2
"""Answers of `duplicate_token`; its prompts do not contain them."""
OPERANDS = 16
"""`chain` adds modulo this number. Operand or result i is token 1 + i; tokens from 17 on are not operands."""
RESULT_BACK = 2
"""Number of positions after the second operand at which `chain` predicts the sum."""
PREVIOUS_TOKEN: Edges = (("embed", "a0.h0.v"),)
INDUCTION: Edges = (
    *PREVIOUS_TOKEN,
    ("a0.h0", "a1.h0.k"),
    ("embed", "a1.h0.q"),
    ("embed", "a1.h0.v"),
    ("a1.h0", "logits"),
)


@dataclass(frozen=True, kw_only=True)
class Construction:
    """A model with a known circuit.

    `edges` carry the ability; each is a pair of names, its writer and its reader. `silent` edges do nothing until one
    of `edges` is removed.
    """

    name: str
    build: Callable[[], Any]
    edges: Edges
    silent: Edges = ()


def duplicate_token() -> Any:
    """One layer that says whether the last token occurred earlier in the prompt.

    a0.h0 attends to an earlier copy of the token, never to the token itself; without a copy it attends to the sink. It
    writes `NEW` if it attends to the sink, and `SEEN` otherwise. Its values are the same for all tokens but the sink,
    so the edge embed → a0.h0.v carries no difference between two prompts. a0.h1 and m0 are distractors.

    Circuit: embed → a0.h0.q, embed → a0.h0.k, a0.h0 → logits.
    """
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, out=VOCABULARY, noise=VOCABULARY)
    model = Handset(new_gpt2(stream, layers=1, heads=2, hidden=4 * stream.width), stream)
    tok, pos, sink = stream["tok"], stream["pos"], stream["tok"][[BOS]]
    model.head(
        0,
        0,
        query=SHARPNESS * stacked(2 * tok, -3 * pos, stream["one"]),
        key=stacked(tok, pos, sink),
        reads=stacked(any_but(tok, [BOS]), sink),
        writes=stream.to("out")[:, [SEEN, NEW]],
    )
    _distract(model, 0, heads=[1])
    return model.hf


def induction() -> Any:
    """Two layers of one head each that continue a repeated segment of tokens.

    a0.h0 attends one position back and writes the token there to `prev`. a1.h0 attends to the position whose `prev` is
    the current token, else to the sink, and writes the token there to `out` (Olsson et al., 2022,
    https://arxiv.org/abs/2209.11895). The MLPs do nothing. a1.h0 also finds the sink by the embedding, and a0.h0 finds
    the previous token by position. Neither carries a difference between two prompts.

    Circuit: embed → a0.h0.v, a0.h0 → a1.h0.k, embed → a1.h0.q, embed → a1.h0.v, a1.h0 → logits.
    """
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, prev=VOCABULARY, out=VOCABULARY)
    model = Handset(new_gpt2(stream, layers=2, heads=1, hidden=VOCABULARY), stream)
    model.look_back(0, 0, 1, reads=stream["tok"], writes=stream.to("prev"))
    _induce(model, 1, 0, writes=stream.to("out"))
    return model.hf


def induction_distractors() -> Any:
    """`induction` with three more heads in each layer and two MLPs that write to a feature that the circuit ignores.

    a0.h1 attends as a0.h0 does, and a1.h1 as a1.h0 does, but they write to `noise`. a1.h2 attends as a1.h0 does and
    passes noise on. The other heads attend to the same token or further back. All of these differ between the clean and
    the corrupted run.

    Circuit: that of `induction`.
    """
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, prev=VOCABULARY, out=VOCABULARY, noise=VOCABULARY)
    model = Handset(new_gpt2(stream, layers=2, heads=4, hidden=VOCABULARY), stream)
    model.look_back(0, 0, 1, reads=stream["tok"], writes=stream.to("prev"))
    _induce(model, 1, 0, writes=stream.to("out"))
    _distract(model, 0, heads=[1, 2, 3])
    _induce(model, 1, 1, writes=stream.to("noise"))
    _induce(model, 1, 2, reads=stream["noise"], writes=stream.to("noise"))
    _distract(model, 1, heads=[3])
    return model.hf


def induction_grouped() -> Any:
    """`induction` in a Llama with four heads and two key-value heads in each layer.

    a0.h1 shares keys and values with a0.h0 and attends three positions back. a1.h1 shares those of a1.h0 and looks for
    another token. Both write to `noise`, as do heads 2 and 3, which share the other key-value head, and the MLPs.

    Circuit: embed → a0.kv0.v, a0.h0 → a1.kv0.k, embed → a1.h0.q, embed → a1.kv0.v, a1.h0 → logits.
    """
    stream = Stream(tok=VOCABULARY, prev=VOCABULARY, out=VOCABULARY, noise=VOCABULARY)
    hf = new_llama(stream, layers=2, heads=4, kv_heads=2, hidden=VOCABULARY)
    model = Handset(hf, stream)
    tok, noise = stream["tok"], stream.to("noise")
    model.look_back(0, 0, 1, reads=tok, writes=stream.to("prev"))
    model.look_back(0, 1, 3, reads=tok, writes=noise)
    _induce(model, 1, 0, writes=stream.to("out"))
    _induce(model, 1, 1, query=shifted(tok, 1), writes=noise)
    for layer in (0, 1):
        values = tok if layer == 0 else tok + stream["noise"]
        for head, query in ((2, tok), (3, shifted(tok, 5))):
            model.head(layer, head, query=SHARPNESS * query, key=tok, reads=values, writes=noise)
        _distract(model, layer, heads=[])
    return model.hf


def chain() -> Any:
    """Three layers that add two neighbouring operands and predict the sum two positions later.

    At the position of the second operand, a0.h0 writes the previous token, the first operand. Each hidden unit of m1
    stands for one combination of operands: it reads 8 · (prev + tok) − 12, which is 4 if both operands match and −4 or
    less if not, and writes their sum modulo 16 to `sum`. a2.h0 attends two positions back and writes the sum to `out`.
    a0.h1, a1.h0, a1.h1, a2.h1, m0 and m2 are distractors. Queries and keys read positions only.

    Circuit: embed → a0.h0.v, a0.h0 → m1, embed → m1, m1 → a2.h0.v, a2.h0 → logits.
    """
    widths = {"prev": VOCABULARY, "sum": VOCABULARY, "out": VOCABULARY, "noise": VOCABULARY}
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, **widths)
    model = Handset(new_gpt2(stream, layers=3, heads=2, hidden=OPERANDS**2), stream)
    model.look_back(0, 0, 1, reads=stream["tok"], writes=stream.to("prev"))
    first, second = torch.arange(OPERANDS**2) // OPERANDS, torch.arange(OPERANDS**2) % OPERANDS
    both = stream["prev"][1 + first] + stream["tok"][1 + second]
    sums = stream.to("sum")[:, 1 + (first + second) % OPERANDS]
    model.mlp(1, reads=8 * both - 12 * stream["one"], writes=sums / 4)
    model.look_back(2, 0, RESULT_BACK, reads=stream["sum"], writes=stream.to("out"))
    _distract(model, 0, heads=[1])
    _distract(model, 1, heads=[0, 1], mlp=False)
    _distract(model, 2, heads=[1])
    return model.hf


def backup() -> Any:
    """`induction` with a second induction head in a third layer, silent unless the first one fails.

    a1.h0 also writes the flag `fired` unless it attends to the sink. a2.h0 has the same queries and keys as a1.h0, but
    the flag raises the score of its sink far above that of a match. If a1.h0 is removed, the flag is missing, and a2.h0
    writes what a1.h0 would have written. Head 1 of each layer, m0, m1 and m2 are distractors.

    Circuit: that of `induction`. Silent: a0.h0 → a2.h0.k, embed → a2.h0.q, embed → a2.h0.v, a1.h0 → a2.h0.q and
    a2.h0 → logits.
    """
    widths = {"prev": VOCABULARY, "out": VOCABULARY, "fired": 1, "noise": VOCABULARY}
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, **widths)
    model = Handset(new_gpt2(stream, layers=3, heads=2, hidden=VOCABULARY), stream)
    tok, out = stream["tok"], stream.to("out")
    model.look_back(0, 0, 1, reads=tok, writes=stream.to("prev"))
    carried = stacked(_words(stream), any_but(tok, [BOS]))
    _induce(model, 1, 0, reads=carried, writes=torch.cat([out, stream.to("fired")], 1))
    _induce(model, 2, 0, sink=stream["one"] + 2 * stream["fired"], writes=out)
    for layer in range(3):
        _distract(model, layer, heads=[1])
    return model.hf


def _induce(
    model: Handset,
    layer: int,
    head: int,
    *,
    writes: Tensor,
    query: Tensor | None = None,
    reads: Tensor | None = None,
    sink: Tensor | None = None,
) -> None:
    """Set a head that attends to the position after an earlier copy of the token, else to the sink (value 0)."""
    stream = model.stream
    tok = stream["tok"]
    model.head(
        layer,
        head,
        query=SHARPNESS * stacked(2 * (tok if query is None else query), stream["one"] if sink is None else sink),
        key=stacked(stream["prev"], tok[[BOS]]),
        reads=_words(stream) if reads is None else reads,
        writes=writes,
    )


def _words(stream: Stream) -> Tensor:
    """The matrix that reads the current token unless it is the sink."""
    values = stream["tok"].clone()
    values[BOS] = 0
    return values


def _distract(model: Handset, layer: int, *, heads: list[int], mlp: bool = True) -> None:
    """Set distractors: heads and an MLP that write what they read to `noise`, each in an order of its own."""
    stream = model.stream
    tok, noise = stream["tok"], stream.to("noise")
    values = tok if layer == 0 else tok + stream["noise"]
    for head in heads:
        writes = noise.roll(3 * head + layer, 1)
        if head == 2:
            model.head(layer, head, query=SHARPNESS * tok, key=tok, reads=values, writes=writes)
        else:
            model.look_back(layer, head, head, reads=values, writes=writes)
    if mlp:
        model.mlp(layer, reads=4 * values, writes=noise.roll(7, 1) / 4)


_GROUPED: Edges = (
    ("embed", "a0.kv0.v"),
    ("a0.h0", "a1.kv0.k"),
    ("embed", "a1.h0.q"),
    ("embed", "a1.kv0.v"),
    ("a1.h0", "logits"),
)
_CHAIN: Edges = (
    *PREVIOUS_TOKEN,
    ("a0.h0", "m1"),
    ("embed", "m1"),
    ("m1", "a2.h0.v"),
    ("a2.h0", "logits"),
)
_BACKUP: Edges = (
    ("a0.h0", "a2.h0.k"),
    ("embed", "a2.h0.q"),
    ("embed", "a2.h0.v"),
    ("a1.h0", "a2.h0.q"),
    ("a2.h0", "logits"),
)
_ALL = (
    Construction(name="induction_grouped", build=induction_grouped, edges=_GROUPED),
    Construction(name="induction", build=induction, edges=INDUCTION),
    Construction(
        name="duplicate_token",
        build=duplicate_token,
        edges=(("embed", "a0.h0.q"), ("embed", "a0.h0.k"), ("a0.h0", "logits")),
    ),
    Construction(name="induction_distractors", build=induction_distractors, edges=INDUCTION),
    Construction(name="backup", build=backup, edges=INDUCTION, silent=_BACKUP),
    Construction(name="chain", build=chain, edges=_CHAIN),
)
CONSTRUCTIONS = {construction.name: construction for construction in _ALL}
"""By name, in ascending order of non-embedding parameters."""
