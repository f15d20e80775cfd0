"""Train one model to add modulo p: full-batch AdamW on a fixed share of all pairs. Interrupted runs can be resumed.

1. `fresh_adder` builds the untrained model of a size and seed: GPT-NeoX with ReLU and with the MLP after attention.
2. `addition_tokens` returns the prompts `a b =` of all p² pairs. `split_pairs` chooses the training pairs.
3. `grow_adder` trains the model. It saves float32 weights at each checkpoint, and the training state every
   `STATE_EVERY` steps.

Weight decay acts on matrices, not on biases and layer-norm gains. With a weight decay of 2 on all parameters, a model
with p = 59 still had a test loss of 0.7 nats after 3600 steps.

The loss is the cross-entropy of the correct sum after `=`, over the logits of the p numbers. It is computed in float64,
because in float32 it cannot fall below 1e-7. A run that was interrupted and resumed ends with exactly the same weights
as an uninterrupted one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.trainer import STATE, _Run, carry_out, is_grown, read_losses

EQUALS, UNKNOWN = "=", "?"
PAIR_KINDS = ("train", "test")


def split_pairs(modulus: int, share: float, *, seed: int) -> np.ndarray:
    """True for training pairs and False for test pairs, bool, shape [a, b]; always the same for (a, b) and (b, a).

    Otherwise a model that ignores the order of its inputs would know the test pair (b, a) from training on (a, b).
    """
    draws = np.random.default_rng(seed).random((modulus, modulus))
    number = np.arange(modulus)
    drawn = draws[np.minimum(number[:, None], number), np.maximum(number[:, None], number)]
    return drawn < np.quantile(drawn, share)


def addition_tokens(modulus: int) -> Tensor:
    """The prompts of all pairs in the order of `np.ndindex`: the ids of a, b and `=`, shape [pair, 3]."""
    a, b = np.divmod(np.arange(modulus**2), modulus)
    return torch.from_numpy(np.stack([a, b, np.full(modulus**2, modulus)], axis=1))


def fresh_adder(size: SizeRecipe, modulus: int, seed: int) -> GPTNeoXForCausalLM:
    """The untrained model of a size and seed. Its tokens are the numbers, `=` and `?`."""
    d_head = size.d_model // size.n_heads
    share = min(1.0, (size.rotary_dimensions + 0.01) / d_head)  # transformers rounds down to whole dimensions
    config = GPTNeoXConfig(
        vocab_size=modulus + 2,
        hidden_size=size.d_model,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        intermediate_size=4 * size.d_model,
        max_position_embeddings=8,
        hidden_act="relu",
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": share},
        use_parallel_residual=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config)


def grow_adder(
    recipe: Recipe,
    size: SizeRecipe,
    seed: int,
    directory: Path,
    *,
    train_pairs: np.ndarray,
    device: str = "cpu",
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> pd.DataFrame:
    """Train one size from one seed and save checkpoints to `directory/stepN/`; a finished run is not repeated.

    Returns:
        Loss at every checkpoint, columns `step`, `document` ("train" or "test" pairs), `loss` (nats per pair).
    """
    if is_grown(recipe, directory):
        return read_losses(directory)
    return carry_out(_AdditionRun(recipe, size, seed, directory, train_pairs, device), report)


class _AdditionRun(_Run):
    """A training run in progress. `_Run` saves and loads its state."""

    def __init__(
        self, recipe: Recipe, size: SizeRecipe, seed: int, directory: Path, train_pairs: np.ndarray, device: str
    ) -> None:
        modulus = len(train_pairs)
        self.recipe, self.size, self.seed, self.directory, self.device = recipe, size, seed, directory, device
        self.model = fresh_adder(size, modulus, seed)
        self.model.to(torch.device(device))  # pyright: ignore[reportArgumentType]
        self.documents = np.random.default_rng(seed)  # unused, but saved with the state
        decayed = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.model.parameters() if parameter.ndim < 2]
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups, size.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.step = 0
        self.losses: list[tuple[int, str, float]] = []
        self.state_directory = directory / STATE
        tokens, trained = addition_tokens(modulus), torch.from_numpy(train_pairs.reshape(-1))
        sides = zip(PAIR_KINDS, (trained, ~trained), strict=True)
        self.prompts = {kind: tokens[rows].to(device) for kind, rows in sides}

    def take_step(self) -> float:
        """One step of the optimiser on all training pairs; returns the loss in nats per pair."""
        loss = addition_loss(self.model, self.prompts["train"])
        return self.descend(loss, min(1.0, (self.step + 1) / self.recipe.warmup))

    @torch.no_grad()
    def keep_checkpoint(self) -> None:
        """Write the weights of this step in Hugging Face format, and measure the losses on training and test pairs."""
        self.losses = [row for row in self.losses if row[0] < self.step]
        self.losses += [(self.step, kind, float(addition_loss(self.model, self.prompts[kind]))) for kind in PAIR_KINDS]
        self.write_weights(self.model)


def addition_loss(model: torch.nn.Module, prompts: Tensor) -> Tensor:
    """Mean cross-entropy of the correct sum after the prompts `a b =`, nats per pair."""
    modulus = int(prompts[0, 2])
    logits = model(input_ids=prompts, use_cache=False, logits_to_keep=1).logits[:, -1, :modulus]
    return cross_entropy(logits.double(), prompts[:, :2].sum(1) % modulus)
