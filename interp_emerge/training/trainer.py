"""Train one model with AdamW on a mixture of documents, and save checkpoints. Interrupted runs can be resumed.

1. `fresh_model` builds the untrained model of a size and seed.
2. `grow_model` trains it. It saves float16 weights at each checkpoint, and the training state every `STATE_EVERY`
   steps.
3. `_Run.save_state` and `_Run.load_state` write and read the weights, the moments of AdamW and the state of the
   document generator. So a run that was interrupted and resumed ends with exactly the same weights as an uninterrupted
   one.

Cost: about 6 floating-point operations for each parameter and token. The same seed, device and number of threads give
the same weights.
"""

import copy
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.utils.logging import disable_progress_bar

from interp_emerge.abilities import _language as language
from interp_emerge.core.files import write_atomically
from interp_emerge.training import corpus
from interp_emerge.training.recipe import Recipe, SizeRecipe

STATE_EVERY = 250
STATE, LOSSES = ".state", "losses.csv"
HELD_OUT_DOCUMENTS = 64
HELD_OUT_SEED = 990_000
"""Seed of the held-out documents. Training seeds count from 0, so training never uses the same generator."""


def fresh_model(
    size: SizeRecipe,
    seed: int,
    *,
    n_tokens: int = len(language.VOCABULARY),
    n_positions: int = 64,
    bos: int = language.VOCABULARY.index(language.BOS),
    parallel: bool = True,
    deviation: float = 0.02,
) -> GPTNeoXForCausalLM:
    """The untrained model of a size and seed, by default for the miniature language.

    If it is `parallel`, attention and MLP of a layer read the same input; otherwise the MLP reads after attention.
    Weights are drawn with this standard `deviation`.
    """
    d_head = size.d_model // size.n_heads
    # transformers rounds the rotary share down to whole dimensions. The 0.01 guards against rounding errors.
    share = min(1.0, (size.rotary_dimensions + 0.01) / d_head)
    config = GPTNeoXConfig(
        vocab_size=n_tokens,
        hidden_size=size.d_model,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        intermediate_size=4 * size.d_model,
        max_position_embeddings=n_positions,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": share},
        use_parallel_residual=parallel,
        initializer_range=deviation,
        bos_token_id=bos,
        eos_token_id=bos,
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config)


def grow_model(
    recipe: Recipe,
    size: SizeRecipe,
    seed: int,
    directory: Path,
    *,
    device: str = "cpu",
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> pd.DataFrame:
    """Train one size from one seed and save checkpoints to `directory/stepN/`; a finished run is not repeated.

    Returns:
        Held-out loss at every checkpoint, columns `step`, `document`, `loss` (nats per token).
    """
    if is_grown(recipe, directory):
        return read_losses(directory)
    return carry_out(_Run(recipe, size, seed, directory, device), report)


def carry_out(run: "_Run", report: Callable[[int, float], None]) -> pd.DataFrame:
    """Train to the last step, from the saved state if there is one; returns the losses at the checkpoints."""
    recipe = run.recipe
    torch.set_num_threads(recipe.threads)
    disable_progress_bar()
    run.load_state()
    while True:
        if run.step in recipe.checkpoints:
            run.keep_checkpoint()
        if run.step == recipe.n_steps:
            break
        if run.step % STATE_EVERY == 0:
            run.save_state()
        report(run.step, run.take_step())
    losses = pd.DataFrame(run.losses, columns=["step", "document", "loss"])
    write_atomically(run.directory / LOSSES, losses.to_csv(index=False).encode())
    shutil.rmtree(run.state_directory, ignore_errors=True)
    return losses


def run_directory(directory: Path, size: str, seed: int) -> Path:
    """The directory with the checkpoints of one size and seed of a family."""
    return directory / size if seed == 0 else directory / size / f"seed{seed}"


def is_grown(recipe: Recipe, directory: Path) -> bool:
    """Whether the directory contains all checkpoints and the losses of a run."""
    checkpoints = [directory / f"step{step}" for step in recipe.checkpoints]
    return all(path.is_dir() for path in checkpoints) and (directory / LOSSES).is_file()


def read_losses(directory: Path) -> pd.DataFrame:
    """The losses of a finished run or family, exactly as they were measured."""
    return pd.read_csv(directory / LOSSES, dtype={"size": str, "loss": str}).astype({"loss": float})


class _Run:
    """A training run in progress."""

    def __init__(self, recipe: Recipe, size: SizeRecipe, seed: int, directory: Path, device: str) -> None:
        self.recipe, self.size, self.seed, self.directory, self.device = recipe, size, seed, directory, device
        self.model = self.untrained()
        self.model.to(torch.device(device))  # pyright: ignore[reportArgumentType]
        self.documents = np.random.default_rng([seed, size.d_model, size.n_layers])
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), size.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.step = 0
        self.losses: list[tuple[int, str, float]] = []
        self.state_directory = directory / STATE

    def untrained(self) -> GPTNeoXForCausalLM:
        """The model before its first step. A run on other text has its own version."""
        return fresh_model(self.size, self.seed)

    def next_batch(self) -> np.ndarray:
        """Token ids of the next batch, shape [document, pos]. A run on other text has its own version."""
        return corpus.mixed_batch(self.documents, self.recipe.documents)

    def held_out(self) -> dict[str, float]:
        """Held-out losses of this step, nats per token. A run on other text has its own version."""
        return held_out_losses(self.model)

    def take_step(self) -> float:
        """One step of the optimiser; returns the loss in nats per token."""
        loss = next_token_loss(self.model, torch.from_numpy(self.next_batch()).to(self.device))
        return self.descend(loss, _schedule(self.step, self.recipe))

    def descend(self, loss: Tensor, rate: float) -> float:
        """One optimiser step on `loss`, with `rate` times the learning rate of the size; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.size.learning_rate * rate
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.item()

    def keep_checkpoint(self) -> None:
        """Write the weights of this step in Hugging Face format, and measure the held-out losses."""
        self.losses = [row for row in self.losses if row[0] < self.step]
        self.losses += [(self.step, kind, loss) for kind, loss in self.held_out().items()]
        self.write_weights(copy.deepcopy(self.model).half())

    def write_weights(self, model: Any) -> None:
        """Write a model as the checkpoint of this step. Its directory exists only once it is complete."""
        target = self.directory / f"step{self.step}"
        partial = self.directory / f".step{self.step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def save_state(self) -> None:
        moments = self.optimizer.state_dict()["state"]
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"optimizer.{key}.{name}": value for key, state in moments.items() for name, value in state.items()}
        header = {"step": self.step, "documents": self.documents.bit_generator.state, "losses": self.losses}
        content = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        write_atomically(self.state_directory / "state.safetensors", save(content, {"header": json.dumps(header)}))

    def load_state(self) -> None:
        path = self.state_directory / "state.safetensors"
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["header"])
        tensors = load_file(path, device=self.device)
        self.model.load_state_dict(_under("model.", tensors))
        template = self.optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer.", tensors).items():
            key, field = name.split(".", 1)
            state.setdefault(int(key), {})[field] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": template["param_groups"]})
        self.step, self.losses = header["step"], [tuple(row) for row in header["losses"]]
        self.documents.bit_generator.state = header["documents"]


def next_token_loss(model: torch.nn.Module, tokens: Tensor) -> Tensor:
    """Mean cross-entropy over all predicted tokens, nats per token."""
    logits = model(input_ids=tokens, use_cache=False).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())


@torch.no_grad()
def held_out_losses(model: torch.nn.Module) -> dict[str, float]:
    """Loss on held-out documents of each kind, nats per token."""
    device = next(model.parameters()).device
    return {
        kind: float(next_token_loss(model, torch.from_numpy(documents.tokens).to(device)))
        for kind, documents in held_out_documents().items()
    }


def held_out_documents() -> dict[str, corpus.Documents]:
    """The documents of each kind on which held-out losses are measured."""
    return {
        kind: write(np.random.default_rng([HELD_OUT_SEED, index]), HELD_OUT_DOCUMENTS)
        for index, (kind, write) in enumerate(corpus.KINDS.items())
    }


def _schedule(step: int, recipe: Recipe) -> float:
    warm = min(1.0, (step + 1) / recipe.warmup)
    return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / recipe.n_steps)))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
