"""A decoder written out reader by reader, as an oracle: slow, and without a line of the package's engine.

Modules of transformers do the norms, projections, rotations and MLPs; which writer enters which reader is spelled out
here from the definition of the graph.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb as rotate_part
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as rotate_all

Written = dict[str, Tensor]
Change = Callable[[str, Written], Tensor]
"""What a reader's input is changed by, given its name and the outputs of the writers before it."""


class SlowModel:
    def __init__(self, hf: Any) -> None:
        self.hf, self.kind = hf, hf.config.model_type
        self.heads = hf.config.num_attention_heads
        self.kv_heads = getattr(hf.config, "num_key_value_heads", None) or self.heads
        self.d_head = getattr(hf.config, "head_dim", None) or hf.config.hidden_size // self.heads
        self.parallel = getattr(hf.config, "use_parallel_residual", False)

    def run(self, tokens: Tensor, change: Change | None = None) -> tuple[Tensor, Written]:
        """Logits after the last token, and what every writer wrote."""
        change = change or (lambda reader, written: torch.zeros_like(written["embed"]))
        written = {"embed": self.embed(tokens)}
        biases: Tensor | float = 0.0

        def read(reader: str) -> Tensor:
            return sum(written.values()) + biases + change(reader, written)

        for layer in range(self.hf.config.num_hidden_layers):
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
        shared = self.kv_heads != self.heads
        group = self.heads // self.kv_heads
        outputs = []
        for head in range(self.heads):
            source = f"a{layer}.kv{head // group}" if shared else f"a{layer}.h{head}"
            q = self.project(layer, "q", head, read(f"a{layer}.h{head}.q"))
            k = self.project(layer, "k", head // group, read(f"{source}.k"))
            v = self.project(layer, "v", head // group, read(f"{source}.v"))
            q, k = self.rotate(*self.norm_heads(layer, q, k))
            causal = torch.full((q.shape[1], q.shape[1]), -torch.inf).triu(1)
            pattern = (q @ k.transpose(1, 2) / self.d_head**0.5 + causal).softmax(-1)
            columns = slice(head * self.d_head, (head + 1) * self.d_head)
            outputs.append(pattern @ v @ self.attention_out(layer)[:, columns].T)
        return outputs

    def embed(self, tokens: Tensor) -> Tensor:
        if self.kind == "gpt2":
            return self.hf.transformer.wte(tokens) + self.hf.transformer.wpe.weight[: tokens.shape[1]]
        return self.hf.get_input_embeddings()(tokens)

    def unembed(self, residual: Tensor) -> Tensor:
        base = self.hf.base_model
        norm = {"gpt2": "ln_f", "gpt_neox": "final_layer_norm"}.get(self.kind, "norm")
        return self.hf.get_output_embeddings()(getattr(base, norm)(residual))

    def block(self, layer: int) -> Any:
        return self.hf.base_model.h[layer] if self.kind == "gpt2" else self.hf.base_model.layers[layer]

    def project(self, layer: int, side: str, head: int, residual: Tensor) -> Tensor:
        block, part, span = self.block(layer), "qkv".index(side), slice(head * self.d_head, (head + 1) * self.d_head)
        match self.kind:
            case "gpt2":
                return block.attn.c_attn(block.ln_1(residual)).chunk(3, -1)[part][..., span]
            case "gpt_neox":
                fused = block.attention.query_key_value(block.input_layernorm(residual))
                return fused.chunk(self.heads, -1)[head].chunk(3, -1)[part]
            case _:
                return getattr(block.self_attn, f"{side}_proj")(block.input_layernorm(residual))[..., span]

    def norm_heads(self, layer: int, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind != "qwen3":
            return q, k
        attention = self.block(layer).self_attn
        return attention.q_norm(q), attention.k_norm(k)

    def rotate(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == "gpt2":
            return q, k
        cos, sin = self.hf.base_model.rotary_emb(q, torch.arange(q.shape[1])[None])
        rotated = (rotate_part if self.kind == "gpt_neox" else rotate_all)(q[:, None], k[:, None], cos, sin)
        return rotated[0][:, 0], rotated[1][:, 0]

    def attention_out(self, layer: int) -> Tensor:
        block = self.block(layer)
        match self.kind:
            case "gpt2":
                return block.attn.c_proj.weight.T
            case "gpt_neox":
                return block.attention.dense.weight
            case _:
                return block.self_attn.o_proj.weight

    def attention_bias(self, layer: int) -> Tensor | float:
        block = self.block(layer)
        match self.kind:
            case "gpt2":
                return block.attn.c_proj.bias
            case "gpt_neox":
                return block.attention.dense.bias
            case _:
                return 0.0

    def mlp(self, layer: int, residual: Tensor) -> Tensor:
        block = self.block(layer)
        return block.mlp(block.ln_2(residual) if self.kind == "gpt2" else block.post_attention_layernorm(residual))
