"""The recipe `grokking`: one-layer models that learn addition modulo 59, and the code that grows a family of them.

Power et al. (2022, https://arxiv.org/abs/2201.02177) trained small networks on some of all equations. The networks
memorised these first and generalised much later, which is called grokking. Nanda et al. (2023,
https://arxiv.org/abs/2301.05217) explained how such a model adds; `emergence.forming.waves` computes their measures.
This recipe follows theirs: one layer, a ReLU MLP of four times the width after the attention, AdamW on all training
pairs at once, strong weight decay, no dropout. It differs in two ways. The models are GPT-NeoX checkpoints, with layer
norms and rotary positions. The task is smaller: p = 59 instead of 113.

A pair (a, b) and its mirror image (b, a) are either both training pairs or both test pairs. The reason is that addition
is commutative, and that rotary attention from `=` treats the two numbers almost alike.

The training loss jumps from time to time ("slingshots": Thilak et al., 2022, https://arxiv.org/abs/2206.04817), and the
test loss falls after jumps. The recipe depends on these jumps. With a second AdamW beta of 0.999 instead of 0.98 there
were none in 1700 steps, and the test loss stayed at 3.6 nats.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.files import write_atomically
from interp_emerge.training._modular import EQUALS, UNKNOWN, grow_adder, split_pairs
from interp_emerge.training.card import CARD, README, markdown_table
from interp_emerge.training.growing import begin_family, end_family, grow_run
from interp_emerge.training.outcome import CLAIM, Times
from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.trainer import read_losses


@dataclass(frozen=True, kw_only=True)
class AdditionRecipe(Recipe):
    """A family of GPT-NeoX models that add modulo a number, trained on a share of all pairs.

    After the warm-up the learning rate is constant. All sizes and seeds have the same training pairs.
    """

    modulus: int
    train_share: float
    """Training pairs as a fraction of all p² pairs."""
    split_seed: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    warmup: int = 10
    weight_decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.modulus < 5 or self.modulus % 2 == 0:
            raise InputError(f"the modulus of the recipe cannot be {self.modulus}; give an odd number of at least 5")
        if not 0 < self.train_share < 1:
            raise InputError(f"a train_share of {self.train_share:g} leaves no training pairs or no test pairs; give "
                             "a number between 0 and 1")  # fmt: skip
        if self.documents:
            raise InputError("a recipe of addition uses no documents; leave `documents` empty")

    @property
    def train_pairs(self) -> np.ndarray:
        """True for training pairs, False for test pairs, bool, shape [a, b]."""
        return split_pairs(self.modulus, self.train_share, seed=self.split_seed)

    def to_dict(self) -> dict[str, Any]:
        """Everything that determines the weights."""
        return asdict(self)


RECIPE = AdditionRecipe(
    name="grokking",
    sizes=(SizeRecipe(name="50k", n_layers=1, d_model=64, n_heads=2, learning_rate=2e-3, n_seeds=3),),
    checkpoints=(0, 10, 20, *range(50, 1500, 50), *range(1500, 3001, 100)),
    modulus=59,
    train_share=0.5,
    weight_decay=3.0,
)


@checked
def grown_recipe(directory: str | Path) -> AdditionRecipe:
    """The recipe of the family in a directory; it contains the modulus and determines the training pairs.

    Example:
        >>> ie.training.grown_recipe(sums).modulus  # sums: where `interp-emerge train grokking` has written
        59

    Raises:
        InputError: the directory does not contain a family of an `AdditionRecipe`.
    """
    claim = Path(directory) / CLAIM
    found = json.loads(claim.read_text()) if claim.is_file() else {}
    if "modulus" not in found:
        raise InputError(f"{directory} does not contain a family grown on modular addition; "
                         "run `interp-emerge train grokking` first")  # fmt: skip
    found.pop("hash")
    lists: dict[str, Any] = {name: tuple(found.pop(name)) for name in ("checkpoints", "betas")}
    sizes = tuple(SizeRecipe(**size) for size in found.pop("sizes"))
    return AdditionRecipe(**found, **lists, sizes=sizes)


@begin_family.register
def write_addition_tokenizer(recipe: AdditionRecipe, directory: Path) -> None:
    """Write the tokenizer of prompts such as `3 5 =`, one token for each word, in Hugging Face format."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*map(str, range(recipe.modulus)), EQUALS, UNKNOWN]
    model = models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=UNKNOWN)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN).save_pretrained(directory)


@grow_run.register
def grow_addition_run(
    recipe: AdditionRecipe, size: str, seed: int, directory: Path, device: str, report: Callable[[int, float], None]
) -> None:
    """Train one size from one seed on the recipe's training pairs."""
    pairs = recipe.train_pairs
    grow_adder(recipe, recipe.size(size), seed, directory, train_pairs=pairs, device=device, report=report)


@end_family.register
def write_addition_card(recipe: AdditionRecipe, directory: Path) -> None:
    """Write the card of a grown family, for people (`README.md`) and for programs (`card.json`)."""
    losses, times = read_losses(directory), Times.read(directory)
    half = _half_way(losses)
    n_trained = int(recipe.train_pairs.sum())
    text = f"""---
license: mit
library_name: transformers
pipeline_tag: text-generation
tags:
- gpt_neox
- mechanistic-interpretability
- grokking
---

# {recipe.name}

GPT-NeoX models that add two numbers modulo {recipe.modulus}, trained on the same {n_trained} of {recipe.modulus**2}
pairs. The prompt is `a b =`; the numbers are the tokens 0 to {recipe.modulus - 1}. The recipe has the hash
`{recipe.hash}`; `recipe.json` contains everything that determines the weights. Checkpoints are in `SIZE/stepN/`, those
of further seeds in `SIZE/seedK/stepN/`, as float32 safetensors. Training all models took
{times.took}; device {times.device}, threads in each process {times.threads}, torch {times.torch}.

Loss at the first and last checkpoint in nats per pair, and the first checkpoint with less than half of the first loss:

{markdown_table(half.map(lambda value: f"{value:.3g}" if isinstance(value, float) else value))}
"""
    write_atomically(directory / README, text.encode())
    content = {"recipe": recipe.hash, "times": asdict(times), "losses": half.to_dict("records")}
    write_atomically(directory / CARD, json.dumps(content, indent=1).encode())


def _half_way(losses: pd.DataFrame) -> pd.DataFrame:
    """One row for each run and kind of pair: first loss, last loss, first step below half of the first loss."""
    rows = []
    for (size, seed, kind), run in losses.groupby(["size", "seed", "document"], sort=False):
        below = run[run["loss"] < run["loss"].iloc[0] / 2]["step"]
        ends = {"first_loss": run["loss"].iloc[0], "last_loss": run["loss"].iloc[-1]}
        step = "never" if below.empty else int(below.iloc[0])
        rows.append({"size": size, "seed": seed, "pairs": kind, **ends, "halved_at_step": step})
    return pd.DataFrame(rows)
