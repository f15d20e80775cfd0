"""Record the activations of a run under TransformerLens's hook names.

A recording holds the parts from which every writer's output can be computed: the residual stream before the first
block, each head's output before the output projection (`z`), and each MLP's output. Attention patterns are recorded on
request.
"""

import torch

from interp_emerge.core.activations import Recording, hook_name, run_and_keep
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import Logits, Residual, Tokens, WriterOutputs
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel

EMBED = hook_name("resid_pre", 0)


def z_name(layer: int) -> str:
    return hook_name("z", layer)


def mlp_name(layer: int) -> str:
    return hook_name("mlp_out", layer)


def pattern_name(layer: int) -> str:
    return hook_name("pattern", layer)


def writer_outputs(model: HookedModel, recording: Recording) -> WriterOutputs:
    """What every writer adds to the residual stream; writers are in the graph's order."""
    parts = [recording.activations[EMBED].unsqueeze(2)]
    for layer, block in enumerate(model.decoder.blocks):
        parts.append(block.head_writes(recording.activations[z_name(layer)].to(model.device)))
        parts.append(recording.activations[mlp_name(layer)].unsqueeze(2))
    return torch.cat([part.to(model.device) for part in parts], 2)


def streams(model: HookedModel, recording: Recording) -> list[Residual]:
    """The residual stream before each block and after the last one, computed as a sum of writers' outputs."""
    found = [recording.activations[EMBED].to(model.device)]
    for layer, block in enumerate(model.decoder.blocks):
        attended = block.attention_writes(recording.activations[z_name(layer)].to(model.device))
        found.append(found[-1] + attended + recording.activations[mlp_name(layer)].to(model.device))
    return found


@torch.no_grad()
def final_logits(model: HookedModel, recording: Recording) -> Logits:
    """Logits after the last token."""
    return model.decoder.logits(streams(model, recording)[-1][:, -1])


@checked
@torch.no_grad()
def record(model: HookedModel, tokens: Tokens, *, patterns: bool = False, budget: int | None = None) -> Recording:
    """Run the model on each prompt and keep its activations.

    Example:
        >>> recording = ie.record(model, pairs.clean)
        >>> recording["z", 1].shape  # [prompt, pos, head, d_head]

    Args:
        model: the model to run.
        tokens: prompts of equal length.
        patterns: whether to keep attention patterns too.
        budget: bytes that one chunk of prompts may need; by default a constant for the kind of device.

    Raises:
        InputError: the tokens are not ids of this model, shape [prompt, pos].
        ModelError: the architecture cannot be split into heads.
    """
    model.require_tokens(tokens)
    chunk = items_that_fit(bytes_per_prompt(model, tokens.shape[1]), len(tokens), device=model.device, budget=budget)
    kinds = (z_name, mlp_name, pattern_name) if patterns else (z_name, mlp_name)
    names = [EMBED, *(name(layer) for layer in range(model.graph.n_layers) for name in kinds)]
    parts = []
    for rows in tokens.split(chunk):
        with model.running():
            parts.append(run_and_keep(model, rows, names)[1])
    return Recording(activations={name: torch.cat([part[name] for part in parts]) for name in names})


def bytes_per_prompt(model: HookedModel, length: int) -> int:
    """Estimate of the memory that one prompt needs while it is recorded, patterns included."""
    graph, width = model.graph, model.d_model
    floats = length * width * (8 + 12 * graph.n_layers) + graph.n_layers * graph.n_heads * length**2 + model.d_vocab
    return 4 * floats
