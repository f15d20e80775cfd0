"""The constructions of the family `handset`: models whose circuit is known, because somebody wrote it down.

Each function says which edges carry the ability, and returns the model. Names of features: `tok` the token here, `pos`
the position, `prev` the token before, `out` the token to say, `noise` what distractors write and nobody who counts
reads. A *sink* is the first token: a query without a match attends to it, and reads nothing there.
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
    stacked,
    turned,
)

Edges = tuple[tuple[str, str], ...]
SEEN, NEW = 1, 2
"""Answers of `duplicate_token`, which its prompts do not hold."""
OPERANDS = 16
"""`chain` adds modulo this number; operand and result i is token 1 + i, tokens from 17 on are no operands."""
RESULT_BACK = 2
"""How far behind the second operand `chain` is asked for the sum."""
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

    `edges` are those that carry the ability, by the names of their writers and readers. `silent` are those that do
    nothing until one of the others is taken away.
    """

    name: str
    build: Callable[[], Any]
    edges: Edges
    silent: Edges = ()


def duplicate_token() -> Any:
    """One layer that tells whether the last token has stood before.

    a0.h0 attends to an earlier copy of the token, not to the token itself, else to the sink; it writes `SEEN` where it
    attends anywhere but to the sink, and `NEW` where it attends there. Its values are the same for all other tokens, so
    the edge embed → a0.h0.v carries nothing that tells two prompts apart. a0.h1 and m0 are distractors.

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
    """Two layers of one head each that continue a segment of tokens which has begun to repeat.

    a0.h0 attends one position back and writes the token there to `prev`. a1.h0 attends to the place whose `prev` is the
    token here, else to the sink, and writes the token there to `out` (Olsson et al., 2022,
    https://arxiv.org/abs/2209.11895). Neither MLP does anything. That the sink is the first token is read from the
    embedding as well, and the previous token is found by position: neither tells two prompts apart.

    Circuit: embed → a0.h0.v, a0.h0 → a1.h0.k, embed → a1.h0.q, embed → a1.h0.v, a1.h0 → logits.
    """
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, prev=VOCABULARY, out=VOCABULARY)
    model = Handset(new_gpt2(stream, layers=2, heads=1, hidden=VOCABULARY), stream)
    model.look_back(0, 0, 1, reads=stream["tok"], writes=stream.to("prev"))
    _induce(model, 1, 0, writes=stream.to("out"))
    return model.hf


def induction_distractors() -> Any:
    """`induction` beside three other heads a layer and two MLPs that write about the prompt where nobody reads it.

    a0.h1 does what a0.h0 does, and a1.h1 what a1.h0 does, but to `noise`; a1.h2 attends likewise and passes noise on.
    The other heads attend to the same token or further back. All of them change between clean and corrupt.

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
    """`induction` in a Llama of four heads and two key-value heads a layer.

    a0.h1 shares keys and values with a0.h0 and attends three positions back; a1.h1 shares those of a1.h0 and looks for
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
    _induce(model, 1, 1, asks=turned(tok, 1), writes=noise)
    for layer in (0, 1):
        values = tok if layer == 0 else tok + stream["noise"]
        for head, asks in ((2, tok), (3, turned(tok, 5))):
            model.head(layer, head, query=SHARPNESS * asks, key=tok, reads=values, writes=noise)
        _distract(model, layer, heads=[])
    return model.hf


def chain() -> Any:
    """Three layers that add two neighbouring operands and say the sum two positions later.

    a0.h0 writes the token before, the first operand, beside the second. Each hidden unit of m1 stands for one pair of
    operands: it reads 8 · (prev + tok) − 12, which is 4 if both are its own and −4 or less if not, and writes their
    sum modulo 16 to `sum`. a2.h0 attends two positions back and writes that to `out`. a0.h1, a1.h0, a1.h1, a2.h1, m0
    and m2 are distractors. Queries and keys read positions only.

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

    a1.h0 also writes the flag `fired` where it attends anywhere but to the sink. a2.h0 compares as a1.h0 does, but the
    flag raises the score of its sink far above that of a match. Take a1.h0 away and the flag is gone: a2.h0 says what
    a1.h0 would have said. Heads 1, m0, m1 and m2 are distractors.

    Circuit: that of `induction`. Silent: a0.h0 → a2.h0.k, embed → a2.h0.q, embed → a2.h0.v, a1.h0 → a2.h0.q and
    a2.h0 → logits.
    """
    widths = {"prev": VOCABULARY, "out": VOCABULARY, "fired": 1, "noise": VOCABULARY}
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, **widths)
    model = Handset(new_gpt2(stream, layers=3, heads=2, hidden=VOCABULARY), stream)
    tok, said = stream["tok"], stream.to("out")
    model.look_back(0, 0, 1, reads=tok, writes=stream.to("prev"))
    carried = stacked(_words(stream), any_but(tok, [BOS]))
    _induce(model, 1, 0, reads=carried, writes=torch.cat([said, stream.to("fired")], 1))
    _induce(model, 2, 0, sink=stream["one"] + 2 * stream["fired"], writes=said)
    for layer in range(3):
        _distract(model, layer, heads=[1])
    return model.hf


def _induce(
    model: Handset,
    layer: int,
    head: int,
    *,
    writes: Tensor,
    asks: Tensor | None = None,
    reads: Tensor | None = None,
    sink: Tensor | None = None,
) -> None:
    """A head that attends to the place after an earlier copy of the token, else to the sink, which has no value."""
    stream = model.stream
    tok = stream["tok"]
    model.head(
        layer,
        head,
        query=SHARPNESS * stacked(2 * (tok if asks is None else asks), stream["one"] if sink is None else sink),
        key=stacked(stream["prev"], tok[[BOS]]),
        reads=_words(stream) if reads is None else reads,
        writes=writes,
    )


def _words(stream: Stream) -> Tensor:
    """What reads the token here unless it is the sink."""
    values = stream["tok"].clone()
    values[BOS] = 0
    return values


def _distract(model: Handset, layer: int, *, heads: list[int], mlp: bool = True) -> None:
    """Heads, and an MLP, that write about the prompt to `noise`, each what it reads in an order of its own."""
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
