"""A decoder written out reader by reader, as an oracle: slow, and without a line of the package's engine.

Modules of transformers do the norms, projections, rotations and MLPs; which writer enters which reader, and how scores
become a pattern, is spelled out here from the definitions of the graph and of each architecture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.cohere.modeling_cohere import apply_rotary_pos_emb as apply_rotary_to_neighbours
from transformers.models.gptj.modeling_gptj import (
    apply_rotary_pos_emb as apply_rotary_of_gptj,
    create_sinusoidal_positions,
)
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

Written = dict[str, Tensor]
Change = Callable[[str, Written], Tensor]
"""What a reader's input is changed by, given its name and the outputs of the writers before it."""


@dataclass(frozen=True)
class Names:
    """Names of a block's modules and of the last norm, where an architecture has other names than Llama."""

    attention: str = "self_attn"
    out: str = "o_proj"
    attention_norm: str | None = "input_layernorm"
    mlp_norm: str | None = "post_attention_layernorm"
    attention_post_norm: str | None = None
    mlp_post_norm: str | None = None
    mlp: str = "mlp"
    final_norm: str = "norm"


GPT = {"attention_norm": "ln_1", "mlp_norm": "ln_2", "final_norm": "ln_f"}
BEHIND = {"attention_post_norm": "post_attention_layernorm", "mlp_post_norm": "post_feedforward_layernorm"}
NAMES = {
    "gpt_neox": Names(attention="attention", out="dense", final_norm="final_layer_norm"),
    "gpt2": Names(attention="attn", out="c_proj", **GPT),
    "gpt_neo": Names(attention="attn", out="out_proj", **GPT),
    "opt": Names(
        out="out_proj",
        attention_norm="self_attn_layer_norm",
        mlp_norm="final_layer_norm",
        final_norm="final_layer_norm",
    ),
    "bloom": Names(attention="self_attention", out="dense", final_norm="ln_f"),
    "gemma2": Names(mlp_norm="pre_feedforward_layernorm", **BEHIND),
    "gemma3_text": Names(mlp_norm="pre_feedforward_layernorm", **BEHIND),
    "olmo2": Names(attention_norm=None, mlp_norm=None, **BEHIND),
    "phi": Names(out="dense", mlp_norm="input_layernorm", final_norm="final_layernorm"),
    "gptj": Names(attention="attn", out="out_proj", **GPT | {"mlp_norm": "ln_1"}),
    "falcon": Names(attention="self_attention", out="dense", mlp_norm="input_layernorm", final_norm="ln_f"),
    "falcon, two norms": Names(
        attention="self_attention", out="dense", attention_norm="ln_attn", mlp_norm="ln_mlp", final_norm="ln_f"
    ),
    "mpt": Names(
        attention="attn", out="out_proj", attention_norm="norm_1", mlp_norm="norm_2", mlp="ffn", final_norm="norm_f"
    ),
    "cohere": Names(mlp_norm="input_layernorm"),
}
PARALLEL = ("phi", "gptj", "falcon", "cohere")
"""Types of model whose attention and MLP read the same stream, as they are set up in these tests."""


def names_of(config: Any) -> Names | None:
    """Names of the modules of a configuration's model, if it is in the table."""
    kind = config.model_type
    two_norms = kind == "falcon" and config.new_decoder_architecture and config.num_ln_in_parallel_attn != 1
    return NAMES.get(f"{kind}, two norms" if two_norms else kind)


def key_value_heads(config: Any) -> int:
    """How many heads of a layer have keys and values of their own."""
    if config.model_type == "falcon":
        return config.num_kv_heads if config.new_decoder_architecture or not config.multi_query else 1
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


class SlowModel:
    def __init__(self, hf: Any) -> None:
        self.hf, self.config, self.kind = hf, hf.config, hf.config.model_type
        self.names = names_of(self.config) or Names()
        self.base = hf.base_model.decoder if self.kind == "opt" else hf.base_model
        self.heads = self.config.num_attention_heads
        self.kv_heads = key_value_heads(self.config)
        self.d_head = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads
        self.parallel = self.kind in PARALLEL or getattr(self.config, "use_parallel_residual", False)
        self.factor = self.config.residual_multiplier if self.kind == "granite" else 1.0

    def run(self, tokens: Tensor, change: Change | None = None) -> tuple[Tensor, Written]:
        """Logits after the last token, and what every writer wrote."""
        change = change or (lambda reader, written: torch.zeros_like(written["embed"]))
        written = {"embed": self.embed(tokens)}
        biases: Tensor | float = 0.0

        def read(reader: str) -> Tensor:
            return sum(written.values()) + biases + change(reader, written)

        for layer in range(self.config.num_hidden_layers):
            mlp_reads_before = read(f"m{layer}") if self.parallel else None
            heads = self.attend(layer, read)
            written |= {f"a{layer}.h{head}": output for head, output in enumerate(heads)}
            bias = self.attention_bias(layer)
            mlp_reads = read(f"m{layer}") + bias if mlp_reads_before is None else mlp_reads_before
            written[f"m{layer}"] = self.mlp(layer, mlp_reads)
            biases = biases + bias
        return self.unembed(read("logits"))[:, -1], written

    def attend(self, layer: int, read: Callable[[str], Tensor]) -> list[Tensor]:
        """What each head adds to the residual stream."""
        names = [f"a{layer}.h{head}" for head in range(self.heads)]
        shared = names if self.kv_heads == self.heads else [f"a{layer}.kv{index}" for index in range(self.kv_heads)]
        q = [self.project(layer, "q", head, read(f"{name}.q")) for head, name in enumerate(names)]
        k = [self.project(layer, "k", head, read(f"{name}.k")) for head, name in enumerate(shared)]
        v = [self.project(layer, "v", head, read(f"{name}.v")) for head, name in enumerate(shared)]
        q, k = self.norm_heads(layer, "q", q), self.norm_heads(layer, "k", k)
        group, weight, outputs = self.heads // self.kv_heads, self.attention_out(layer), []
        for head in range(self.heads):
            pattern = self.pattern(layer, head, q[head], k[head // group])
            columns = slice(head * self.d_head, (head + 1) * self.d_head)
            outputs.append(self.factor * (pattern @ v[head // group] @ weight[:, columns].T))
        return self.behind_norm(self.part(layer, self.names.attention_post_norm), outputs)

    def pattern(self, layer: int, head: int, q: Tensor, k: Tensor) -> Tensor:
        """How much each query of a head attends to each key."""
        length = q.shape[1]
        q, k = self.rotate(layer, q, k)
        scores = q @ k.transpose(1, 2) * self.scale()
        cap = getattr(self.config, "attn_logit_softcapping", None)
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        if self.kind == "bloom":
            ones = torch.ones(1, length, dtype=torch.int64)
            scores = scores + build_alibi_tensor(ones, self.heads, scores.dtype)[head]
        if self.kind == "mpt":
            scores = scores + build_mpt_alibi_tensor(self.heads, length)[head]
        query, key = torch.arange(length)[:, None], torch.arange(length)
        return scores.masked_fill((key > query) | (key <= query - self.window(layer)), -torch.inf).softmax(-1)

    def scale(self) -> float:
        if self.kind in ("gpt_neo", "granite"):
            return 1.0 if self.kind == "gpt_neo" else self.config.attention_multiplier
        return getattr(self.config, "query_pre_attn_scalar", self.d_head) ** -0.5

    def window(self, layer: int) -> float:
        """How many positions a query sees, its own counted."""
        match self.kind:
            case "mistral":
                return self.config.sliding_window
            case "gemma2" | "gemma3_text" if self.config.layer_types[layer] == "sliding_attention":
                return self.config.sliding_window
            case "gpt_neo" if self.config.attention_layers[layer] == "local":
                return self.config.window_size
            case _:
                return float("inf")

    def project(self, layer: int, side: str, head: int, residual: Tensor) -> Tensor:
        """A head's query, key or value, from a residual stream of its own."""
        norm, attention = self.part(layer, self.names.attention_norm), self.attention(layer)
        normed = residual if norm is None else norm(residual)
        part, span = "qkv".index(side), slice(head * self.d_head, (head + 1) * self.d_head)
        match self.kind:
            case "gpt2":
                return attention.c_attn(normed).chunk(3, -1)[part][..., span]
            case "gpt_neox" | "bloom" | "falcon":
                group = self.heads // self.kv_heads
                shared, within = divmod(head, group) if side == "q" else (head, group + part - 1)
                of_group = attention.query_key_value(normed).chunk(self.kv_heads, -1)[shared]
                return of_group.chunk(group + 2, -1)[within]
            case "mpt":
                bound = self.config.attn_config.clip_qkv
                return attention.Wqkv(normed).clamp(-bound, bound).chunk(3, -1)[part][..., span]
            case "olmo" if self.config.clip_qkv is not None:
                projected = getattr(attention, f"{side}_proj")(normed)[..., span]
                return projected.clamp(-self.config.clip_qkv, self.config.clip_qkv)
            case _:
                return getattr(attention, f"{side}_proj")(normed)[..., span]

    def norm_heads(self, layer: int, side: str, heads: list[Tensor]) -> list[Tensor]:
        """Queries or keys behind their norm: one head at a time, or all together in OLMo 2."""
        attention = self.attention(layer)
        norm = getattr(attention, f"{side}_norm", getattr(attention, f"{side}_layernorm", None))
        if norm is None:
            return heads
        if self.kind == "olmo2":
            return [*norm(torch.cat(heads, -1)).split(self.d_head, -1)]
        if self.kind == "cohere":  # a gain for each head
            return [*norm(torch.stack(heads, -2)).unbind(-2)]
        return [norm(head) for head in heads]

    def rotate(self, layer: int, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind in ("gpt2", "gpt_neo", "opt", "bloom", "mpt"):
            return q, k
        if self.kind == "gptj":
            turned, length = self.config.rotary_dim, q.shape[1]
            sin, cos = create_sinusoidal_positions(length, turned).to(q.dtype)[None].chunk(2, -1)
            first_q, first_k = (apply_rotary_of_gptj(x[:, :, None, :turned], sin, cos)[:, :, 0] for x in (q, k))
            return torch.cat([first_q, q[..., turned:]], -1), torch.cat([first_k, k[..., turned:]], -1)
        more = [self.config.layer_types[layer]] if self.kind == "gemma3_text" else []
        cos, sin = self.base.rotary_emb(q, torch.arange(q.shape[1])[None], *more)
        turned = cos.shape[-1]
        turn = apply_rotary_to_neighbours if self.kind == "cohere" else apply_rotary_pos_emb
        first_q, first_k = turn(q[:, None, :, :turned], k[:, None, :, :turned], cos, sin)
        return torch.cat([first_q[:, 0], q[..., turned:]], -1), torch.cat([first_k[:, 0], k[..., turned:]], -1)

    def embed(self, tokens: Tensor) -> Tensor:
        positions, base = torch.arange(tokens.shape[1]), self.base
        match self.kind:
            case "gpt2" | "gpt_neo":
                return base.wte(tokens) + base.wpe.weight[positions]
            case "opt":
                return base.embed_tokens(tokens) + base.embed_positions.weight[positions + 2]
            case "bloom":
                return base.word_embeddings_layernorm(base.word_embeddings(tokens))
            case "gptj" | "mpt":
                return base.wte(tokens)
            case "falcon":
                return base.word_embeddings(tokens)
            case "granite":
                return base.embed_tokens(tokens) * self.config.embedding_multiplier
            case "gemma2" | "gemma3_text":
                return nn.functional.embedding(tokens, base.embed_tokens.weight) * self.config.hidden_size**0.5
            case _:
                return base.embed_tokens(tokens) if hasattr(base, "embed_tokens") else base.embed_in(tokens)

    def unembed(self, residual: Tensor) -> Tensor:
        logits = self.hf.get_output_embeddings()(getattr(self.base, self.names.final_norm)(residual))
        if self.kind == "cohere":
            return logits * self.config.logit_scale
        if self.kind == "granite":
            return logits / self.config.logits_scaling
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def block(self, layer: int) -> Any:
        return next(getattr(self.base, name) for name in ("h", "layers", "blocks") if hasattr(self.base, name))[layer]

    def part(self, layer: int, name: str | None) -> Any:
        return None if name is None else getattr(self.block(layer), name)

    def attention(self, layer: int) -> Any:
        attention = self.part(layer, self.names.attention)
        return attention.attention if self.kind == "gpt_neo" else attention

    def attention_out(self, layer: int) -> Tensor:
        weight = getattr(self.attention(layer), self.names.out).weight
        return weight.T if self.kind == "gpt2" else weight

    def attention_bias(self, layer: int) -> Tensor | float:
        bias = getattr(self.attention(layer), self.names.out).bias
        return 0.0 if bias is None else self.factor * bias

    def behind_norm(self, norm: Any, terms: list[Tensor]) -> list[Tensor]:
        """Terms that a root-mean-square norm of their sum is made of."""
        if norm is None or isinstance(norm, nn.Identity):
            return terms
        eps = norm.eps if self.kind.startswith("gemma") else norm.variance_epsilon
        gain = 1 + norm.weight if self.kind.startswith("gemma") else norm.weight
        size = (torch.stack(terms).sum(0).square().mean(-1, keepdim=True) + eps).sqrt()
        return [term / size * gain for term in terms]

    def mlp(self, layer: int, residual: Tensor) -> Tensor:
        block = self.block(layer)
        norm, post_norm = self.part(layer, self.names.mlp_norm), self.part(layer, self.names.mlp_post_norm)
        normed = residual if norm is None else norm(residual)
        match self.kind:
            case "opt":
                made = block.fc2(block.activation_fn(block.fc1(normed)))
            case "bloom" | "mpt":
                made = self.part(layer, self.names.mlp)(normed, torch.zeros_like(normed))
            case _:
                made = block.mlp(normed) * self.factor
        return made if post_norm is None else post_norm(made)
