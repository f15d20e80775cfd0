"""Small transformers whose weights are set by hand, head by head, in named features of the residual stream.

1. `Stream` divides the residual stream into features. Each is written twice, as (+, −), so that the stream's mean is
   zero and a layer norm's centring changes nothing.
2. One feature, `one`, is the constant `CONSTANT`, far larger than all others together. It alone sets the scale of every
   norm, and the norm's gain undoes this scale, so each norm is the identity up to a factor of 1 ± 1e-6.
3. `Handset.head` sets a head by what its query and key compare, what its value reads and what it writes.
   `Handset.look_back` sets a head that attends a number of positions back. `Handset.mlp` sets a layer's hidden units.

GPT-2 models have a feature for each position. Llama models have rotary positions instead (Su et al., 2021,
https://arxiv.org/abs/2104.09864). Heads find distances by the fast half of the frequencies. They compare content in the
slow half, which turns by 4e-4 at most between two positions of a prompt.

Scores of attention are in nats: a key whose score is lower by `SHARPNESS` gets e^-12 of the attention.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interp_emerge.core.decoder import Block, Norm
from interp_emerge.families.hooking import hook

VOCABULARY, POSITIONS = 24, 40
BOS = 0
CONSTANT = 1024.0
"""Exact in half precision. A unit feature changes the scale of a norm by 1 / (2 · 1024²) = 5e-7 of it."""
SHARPNESS = 12.0
"""Nats by which the score of the attended position exceeds the others. Sharp enough that another position gets 6e-6 of
the attention, and soft enough that the slope of the softmax spans a sixth of the way from the corrupted to the clean
embeddings."""
LOGIT, LOGIT_OF_NOTHING = 10.0, 1.0
"""Logit of a token whose output feature is one, and of the first token, which is predicted if no feature is set."""
ROTARY_WIDTH, ROTARY_BASE = 64, 1e10
"""Width of a head and base of the rotary frequencies in Llama models: feature pairs turn by 1e10^(-i / 32)."""
LOOKING_PAIRS = 8
"""Number of fastest feature pairs, used to find distances. Their sum has one peak over all positions."""
SEED = 0
SPECIAL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": BOS,
    "eos_token_id": BOS,
    "pad_token_id": BOS,
    "tie_word_embeddings": False,
}


class Stream:
    """Named features of the residual stream, each with a number of components.

    Matrices that read or write the stream have shape [read, component] or [component, written]. `reading` and `writing`
    expand them to the width of the model.
    """

    def __init__(self, **widths: int) -> None:
        self.at: dict[str, slice] = {}
        start = 0
        for name, width in {**widths, "one": 1}.items():
            self.at[name] = slice(start, start + width)
            start += width
        self.n_components = start + -start % 4
        self.width = 2 * self.n_components

    def __contains__(self, name: str) -> bool:
        return name in self.at

    def __getitem__(self, name: str) -> Tensor:
        """The matrix that reads a feature, shape [width of the feature, component]; `one` is read as 1."""
        read = torch.eye(self.n_components)[self.at[name]]
        return read / CONSTANT if name == "one" else read

    def to(self, name: str) -> Tensor:
        """The matrix that writes a feature, shape [component, width of the feature]."""
        return torch.eye(self.n_components)[:, self.at[name]]


def reading(components: Tensor) -> Tensor:
    """A matrix that reads components, [read, component], as one that reads the stream, half of each mirror image."""
    return torch.cat([components, -components], 1) / 2


def writing(components: Tensor) -> Tensor:
    """A matrix that writes components, [component, written], as one that writes the stream with its mirror image."""
    return torch.cat([components, -components])


def new_gpt2(stream: Stream, *, layers: int, heads: int, hidden: int) -> Any:
    """A GPT-2 as wide as the stream, with random weights."""
    from transformers import GPT2Config

    config = GPT2Config(
        **SPECIAL,
        n_positions=POSITIONS,
        n_embd=stream.width,
        n_layer=layers,
        n_head=heads,
        n_inner=hidden,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return as_drawn(config)


def new_llama(stream: Stream, *, layers: int, heads: int, kv_heads: int, hidden: int) -> Any:
    """A Llama as wide as the stream, with random weights and `kv_heads` key-value heads in each layer."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        **SPECIAL,
        max_position_embeddings=POSITIONS,
        hidden_size=stream.width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=ROTARY_WIDTH,
        intermediate_size=hidden,
        rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
    )
    return as_drawn(config)


def as_drawn(config: Any) -> Any:
    """A model of a configuration with the random weights of transformers, the same in every call."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


class Handset:
    """A model whose weights are zero, except embedding, norms, unembedding, and the heads and MLPs that are set."""

    def __init__(self, hf: Any, stream: Stream) -> None:
        self.hf, self.stream = hf, stream
        decoder = hook(hf).decoder
        self.blocks: tuple[Block, ...] = decoder.blocks
        self.rotary = "pos" not in stream
        with torch.no_grad():
            for parameter in hf.parameters():
                parameter.zero_()
            norms = [norm for block in self.blocks for norm in (block.attention_norm, block.mlp_norm)]
            for norm in (*norms, decoder.final_norm):
                self._undo_scale(norm)
            tokens = stream.to("tok") + CONSTANT * stream.to("one")
            hf.get_input_embeddings().weight.copy_(writing(tokens).T)
            if not self.rotary:
                hf.transformer.wpe.weight.copy_(writing(stream.to("pos")).T)
            output = LOGIT * stream["out"]
            output[BOS] += LOGIT_OF_NOTHING * stream["one"][0]
            hf.get_output_embeddings().weight.copy_(reading(output))

    def _undo_scale(self, norm: Norm) -> None:
        """Set a norm's gain so that it undoes the norm's scale. The mean is zero, so centring changes nothing."""
        constant = writing(CONSTANT * self.stream.to("one")).T
        assert norm.module is not None
        norm.module.get_parameter("weight").fill_(1 / float(norm.scale(constant)))

    @torch.no_grad()
    def head(
        self, layer: int, head: int, *, query: Tensor, key: Tensor, reads: Tensor, writes: Tensor, content: bool = True
    ) -> None:
        """Set one head. Heads that share a key-value head must get the same `key` and `reads`.

        Args:
            layer: its layer.
            head: its index.
            query: what the query reads, shape [compared, component]; the score is the product with the key, in nats.
            key: what the key reads, shape [compared, component].
            reads: what the value reads, shape [carried, component].
            writes: how the value is written to the stream, shape [component, carried].
            content: whether the comparison must not depend on distance; it then uses the slow rotary features.
        """
        block = self.blocks[layer]
        shared = head * block.k.n_heads // block.q.n_heads
        at = self._slow(len(query)) if self.rotary and content else torch.arange(len(query))
        carried = torch.arange(len(reads))
        out = block.attention_out.weight().unflatten(1, (block.q.n_heads, -1))[:, head]
        block.q.weight()[head].zero_()[at] = reading(query / block.attention.scale)
        block.k.weight()[shared].zero_()[at] = reading(key)
        block.v.weight()[shared].zero_()[carried] = reading(reads)
        out.zero_()[:, carried] = writing(writes)

    def look_back(self, layer: int, head: int, distance: int, *, reads: Tensor, writes: Tensor) -> None:
        """Set a head that attends `distance` positions back, by position alone."""
        query, key = self._rotary_looks(distance) if self.rotary else self._learned_looks(distance)
        self.head(layer, head, query=query, key=key, reads=reads, writes=writes, content=False)

    def _learned_looks(self, distance: int) -> tuple[Tensor, Tensor]:
        positions = self.stream["pos"]
        key = torch.zeros_like(positions)
        key[distance:] = positions[: len(positions) - distance]
        return SHARPNESS * positions, key

    def _rotary_looks(self, distance: int) -> tuple[Tensor, Tensor]:
        """Constant query and key with score Σ cos((d − distance) · frequency), which is largest at the distance."""
        half = ROTARY_WIDTH // 2
        frequencies = ROTARY_BASE ** (-torch.arange(LOOKING_PAIRS) / half)
        scores = torch.cos((torch.arange(POSITIONS)[:, None] - distance) * frequencies).sum(1)
        others = scores[torch.arange(POSITIONS) != distance]
        size = SHARPNESS / float(scores[distance] - others.max())
        query, key = torch.zeros(ROTARY_WIDTH, 1), torch.zeros(ROTARY_WIDTH, 1)
        query[:LOOKING_PAIRS, 0] = size * torch.cos(distance * frequencies)
        query[half : half + LOOKING_PAIRS, 0] = -size * torch.sin(distance * frequencies)
        key[:LOOKING_PAIRS] = 1
        return query @ self.stream["one"], key @ self.stream["one"]

    def _slow(self, count: int) -> Tensor:
        """The features in which a rotary head compares content: both members of the slower half of the pairs."""
        half = ROTARY_WIDTH // 2
        slow = torch.arange(half // 2, half)
        places = torch.cat([slow, half + slow])
        assert count <= len(places), "a rotary head compares 32 numbers at most"
        return places[:count]

    @torch.no_grad()
    def mlp(self, layer: int, *, reads: Tensor, writes: Tensor) -> None:
        """Set hidden units of a layer. A unit passes on what it reads if that is well above zero, else almost nothing.

        Args:
            layer: its layer.
            reads: what the units read, shape [unit, component].
            writes: what they write, shape [component, unit].
        """
        units = torch.arange(len(reads))
        read, written = reading(reads), writing(writes)
        if self.rotary:
            module = self.hf.model.layers[layer].mlp
            module.gate_proj.weight[units] = read
            module.up_proj.weight[units] = reading(self.stream["one"])
            module.down_proj.weight[:, units] = written
        else:
            module = self.hf.transformer.h[layer].mlp
            module.c_fc.weight[:, units] = read.T
            module.c_proj.weight[units] = written.T


def stacked(*parts: Tensor) -> Tensor:
    """The parts that a query, key or value reads, one below the other."""
    return torch.cat(parts)


def shifted(read: Tensor, by: int) -> Tensor:
    """The matrix with its rows shifted: row i reads what row i + `by` read."""
    return read.roll(-by, 0)


def any_but(feature: Tensor, excluded: Sequence[int]) -> Tensor:
    """A row that reads 1 unless a one-hot feature is one of the excluded components, shape [1, component]."""
    kept = torch.ones(len(feature))
    kept[list(excluded)] = 0
    return kept[None] @ feature
