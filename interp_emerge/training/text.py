"""The recipe `text`: models of several sizes, trained on the text files of a folder with a tokenizer of their own.

    recipe = ie.training.text_recipe("folder", sizes=("1x64", "2x64"), steps=3000, seeds=(1, 3))
    ie.training.grow_family(recipe, "grown/text")

1. `text_recipe` reads the folder (`reading`) and makes the recipe. Its hash covers the hash of the text.
2. Before training, `prepare_text` trains a byte-level BPE tokenizer on the training documents (`text_tokens`) and
   writes the token ids of all documents.
3. Each model is trained on windows of the training documents (`_text_run`), with the trainer of every family.
4. `text_card` writes the card.

A name such as `2x64` is a model of two layers with a width of 64. Heads have 16 dimensions, or 32 from a width of 128.
In each layer the MLP follows the attention.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.training._text_run import grow_on_text
from interp_emerge.training.growing import begin_family, end_family, grow_run
from interp_emerge.training.reading import read_folder
from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.text_card import write_text_card
from interp_emerge.training.text_tokens import MIN_VOCABULARY, prepare_text, remove_tokens

SIZES, SEEDS = ("1x64", "2x64", "3x96"), (1, 3, 1)
STEPS, CHECKPOINTS = 3000, 16
FIRST_CHECKPOINT = 32
"""First step after 0 at which weights are saved."""
RATE, RATE_WIDTH = 4e-3, 64
"""Learning rate at this width. It falls with the inverse of the width."""


@dataclass(frozen=True, kw_only=True)
class TextRecipe(Recipe):
    """A family of GPT-NeoX models of several sizes, all trained on windows of the same text."""

    folder: str
    """Where the text is. It does not determine the weights; `text` does."""
    text: str
    """Hash of the text."""
    vocabulary: int = 1024
    """Number of tokens: 256 bytes, one that begins every window and ends every document, and merges."""
    context: int = 128
    """Tokens in a window, including the first, which marks the beginning."""
    batch: int = 32
    """Windows in a batch."""
    repeated: float = 0.0
    """Share of the windows in which a passage is read again and again. It makes induction pay in text that repeats
    little; what a family learns with it is not evidence that the text alone would teach it."""
    initial: float = 0.8
    """Standard deviation of the initial weights, times the root of the width. With 0.02, which is usual for wide
    models, attention of a model of width 64 stays even for thousands of steps, and no circuit forms in that time."""
    held_out: float = 0.05
    """Share of the text that is held out, as whole documents."""
    split_seed: int = 0
    documents: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary < MIN_VOCABULARY:
            raise InputError(f"a vocabulary of {self.vocabulary} is too small; a byte-level one has at least "
                             f"{MIN_VOCABULARY} tokens")  # fmt: skip
        if self.context < 32 or self.batch < 1:
            raise InputError(f"a context of {self.context} tokens and a batch of {self.batch} cannot be trained on; "
                             "give a context of at least 32 and a batch of at least 1")  # fmt: skip
        if not 0 <= self.repeated <= 1:
            raise InputError(f"a share of {self.repeated:g} repeated windows cannot be; give a number from 0 to 1")
        if not self.initial > 0:
            raise InputError(
                f"initial weights cannot be drawn with a deviation of {self.initial:g}; give a number above 0"
            )
        if not 0 < self.held_out < 1:
            raise InputError(f"a held-out share of {self.held_out:g} leaves no held-out text or no training text; "
                             "give a number between 0 and 1")  # fmt: skip
        if self.documents:
            raise InputError("a recipe of text has no kinds of documents; leave `documents` empty")

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.context

    def to_dict(self) -> dict[str, Any]:
        """Everything that determines the weights."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}


@checked
def text_recipe(
    files: str | Path,
    *,
    sizes: Sequence[str] = SIZES,
    seeds: Sequence[int] = (),
    steps: int = STEPS,
    checkpoints: int = CHECKPOINTS,
    vocabulary: int = 1024,
    context: int = 128,
    batch: int = 32,
    learning_rate: float | None = None,
    repeated: float = 0.0,
    name: str = "text",
) -> TextRecipe:
    """The recipe of a family on the text files of a folder.

    Args:
        files: the folder, or one file.
        sizes: layers and width of each size, such as `2x64`.
        seeds: number of seeds of each size, or one number for all; by default one, and for the default sizes `SEEDS`.
        steps: number of training steps.
        checkpoints: number of steps at which weights are saved, step 0 included; from `FIRST_CHECKPOINT` on they are
            equally far apart on a logarithmic axis.
        vocabulary: number of tokens of the tokenizer.
        context: tokens that a model reads at a time.
        batch: windows of that length in each step.
        learning_rate: the highest learning rate, for all sizes; by default 0.004 × 64 / width.
        repeated: share of the windows in which a passage is read again and again, to the end of the window.
        name: name of the family, in its card.

    Raises:
        InputError: there is no text in the folder, a file is not UTF-8, or an option cannot be trained with.
    """
    counts = tuple(seeds) or (SEEDS if tuple(sizes) == SIZES else (1,))
    if len(counts) == 1:
        counts *= len(sizes)
    if len(counts) != len(sizes) or min(counts, default=1) < 1:
        raise InputError(f"seeds {','.join(map(str, seeds))} do not fit {len(sizes)} sizes; give one number for all "
                         "sizes or one for each, from 1 on")  # fmt: skip
    made = tuple(size_recipe(size, n, learning_rate) for size, n in zip(sizes, counts, strict=True))
    return TextRecipe(
        name=name,
        sizes=made,
        checkpoints=spaced_checkpoints(steps, checkpoints),
        folder=str(files),
        text=read_folder(files).hash,
        vocabulary=vocabulary,
        context=context,
        batch=batch,
        repeated=repeated,
    )


def size_recipe(name: str, n_seeds: int = 1, learning_rate: float | None = None) -> SizeRecipe:
    """The size of a name such as `2x64`: two layers, width 64.

    Raises:
        InputError: the name is not one of this form, or the width is not a multiple of 16.
    """
    layers, _, width = name.partition("x")
    if not (layers.isdecimal() and width.isdecimal() and int(layers) and int(width)) or int(width) % 16:
        raise InputError(f"cannot read {name!r} as a size; give LAYERSxWIDTH with a width that is a multiple of 16, "
                         "such as 2x64")  # fmt: skip
    d_model = int(width)
    d_head = 32 if d_model >= 128 and d_model % 32 == 0 else 16
    rate = RATE * RATE_WIDTH / d_model if learning_rate is None else learning_rate
    if not 0 < rate < 1:
        raise InputError(f"a learning rate of {rate:g} cannot be trained with; give a number between 0 and 1")
    return SizeRecipe(
        name=name, n_layers=int(layers), d_model=d_model, n_heads=d_model // d_head, learning_rate=rate, n_seeds=n_seeds
    )


def spaced_checkpoints(n_steps: int, n: int) -> tuple[int, ...]:
    """Step 0, then up to `n` - 1 steps that are equally far apart on a logarithmic axis and end at the last.

    Raises:
        InputError: fewer than one step or two checkpoints are asked for.
    """
    if n_steps < 1 or n < 2:
        raise InputError(
            f"{n_steps} steps with {n} checkpoints cannot be trained; give at least 1 step and 2 checkpoints"
        )
    steps = np.geomspace(min(FIRST_CHECKPOINT, n_steps), n_steps, n - 1).round().astype(int)
    return tuple(sorted({0, *steps.tolist()}))


@begin_family.register
def begin_text(recipe: TextRecipe, directory: Path) -> None:
    """Write the tokenizer, the held-out text and the token ids of all documents, unless an earlier call did."""
    prepare_text(
        read_folder(recipe.folder),
        directory,
        wanted=recipe.text,
        vocabulary=recipe.vocabulary,
        context=recipe.context,
        batch=recipe.batch,
        share=recipe.held_out,
        split_seed=recipe.split_seed,
    )


@grow_run.register
def grow_text_run(
    recipe: TextRecipe, size: str, seed: int, directory: Path, device: str, report: Callable[[int, float], None]
) -> None:
    """Train one size from one seed on windows of the training documents."""
    family = directory.parent if seed == 0 else directory.parent.parent
    grow_on_text(
        recipe,
        recipe.size(size),
        seed,
        directory,
        family=family,
        vocabulary=recipe.vocabulary,
        context=recipe.context,
        batch=recipe.batch,
        repeated=recipe.repeated,
        initial=recipe.initial,
        device=device,
        report=report,
    )


@end_family.register
def end_text(recipe: TextRecipe, directory: Path) -> None:
    """Write the card of a grown family, and remove the token ids, which the text gives again."""
    shape = {"vocabulary": recipe.vocabulary, "context": recipe.context, "batch": recipe.batch}
    write_text_card(recipe, directory, **shape)
    remove_tokens(directory)
