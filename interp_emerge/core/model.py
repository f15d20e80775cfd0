"""What an analysis needs of a model: where its parts lie, its tokens, its logits, and hooks that always come off.

`families` fills its `Decoder` for each architecture; nothing else knows one architecture from another.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.axes import Logits, Tokens
from interp_emerge.core.decoder import Decoder
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.files import hash_bytes, hash_of
from interp_emerge.core.graph import Graph


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which weights: enough to load them again, and to tell whether two results came from the same ones."""

    family: str
    size: str
    step: int
    seed: int = 0
    location: str = ""
    """Directory of the checkpoint, or the repository's name on the hub."""
    revision: str = ""
    """Hash of the weights: of the file's content on disk, of the commit on the hub."""
    dtype: str = "float32"
    weights: str = "raw"
    """How the weights were processed after loading; `raw` means not at all."""

    def __str__(self) -> str:
        return f"{self.family}/{self.size}/step{self.step}/seed{self.seed}"

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """The family, size, step and seed named by `str(spec)`; what the text does not hold stays empty.

        Raises:
            InputError: the text has another form.
        """
        parts = text.rsplit("/", 3)
        if len(parts) == 4 and parts[2].startswith("step") and parts[3].startswith("seed"):
            step, seed = parts[2].removeprefix("step"), parts[3].removeprefix("seed")
            if step.isdecimal() and seed.isdecimal():
                return cls(family=parts[0], size=parts[1], step=int(step), seed=int(seed))
        raise InputError(f"{text!r} is no model; write FAMILY/SIZE/stepN/seedN")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Hook = tuple[nn.Module, str, Callable]
"""A module, `"input"` or `"output"`, and a function from that tensor to its replacement, or to None to keep it."""


class HookedModel:
    """A causal language model whose parts can be read and replaced while it runs.

    `hf`, the Hugging Face module, is used as it is; `bridge` offers the same weights as a TransformerBridge.
    """

    def __init__(
        self,
        hf: Any,
        *,
        tokenizer: Any,
        spec: ModelSpec,
        find_decoder: Callable[[nn.Module], Decoder],
        build_bridge: Callable[["HookedModel"], Any],
    ) -> None:
        self.hf, self.tokenizer, self.spec = hf, tokenizer, spec
        self._find_decoder, self._build_bridge = find_decoder, build_bridge

    def __repr__(self) -> str:
        return f"HookedModel({self.spec}, {self.n_parameters:,} non-embedding parameters)"

    @cached_property
    def decoder(self) -> Decoder:
        """The model in parts that can be run by themselves.

        Raises:
            ModelError: the architecture cannot be split exactly into heads, MLPs and edges.
        """
        return self._find_decoder(self.hf)

    @cached_property
    def bridge(self) -> Any:
        """The same weights as a `transformer_lens` TransformerBridge, built when first asked for."""
        return self._build_bridge(self)

    @cached_property
    def graph(self) -> Graph:
        """Writers, readers and edges of this model: as many as its configuration says, joined as its modules are.

        Raises:
            ModelError: the architecture cannot be split exactly into heads, MLPs and edges.
        """
        parallel, joined, rescaled = self.decoder.blocks[0].form
        counted = Graph.from_config(self.hf.config)
        return replace(counted, parallel=parallel, joined=joined, rescaled=rescaled)

    @property
    def device(self) -> torch.device:
        return next(self.hf.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.hf.parameters()).dtype

    @cached_property
    def n_parameters(self) -> int:
        """Non-embedding parameters: all but the token, position and output embeddings."""
        return count_parameters(self.hf)

    @property
    def d_vocab(self) -> int:
        return int(self.hf.get_output_embeddings().weight.shape[0])

    @cached_property
    def bos(self) -> list[int]:
        """The beginning-of-text token that every prompt starts with, as a list that is empty where there is none."""
        token = getattr(self.tokenizer if self.tokenizer is not None else self.hf.config, "bos_token_id", None)
        return [int(token)] if isinstance(token, int) and token < self.d_vocab else []

    @cached_property
    def ordinary_ids(self) -> list[int]:
        """Token ids that are no special token."""
        if self.tokenizer is None:
            fields = ("bos_token_id", "eos_token_id", "pad_token_id")
            special = {getattr(self.hf.config, field, None) for field in fields}
            return [token for token in range(self.d_vocab) if token not in special]
        special = {*self.tokenizer.all_special_ids, *getattr(self.tokenizer, "added_tokens_decoder", {})}
        return [token for token in range(min(len(self.tokenizer), self.d_vocab)) if token not in special]

    @cached_property
    def vocabulary(self) -> str:
        """Hash of all that prompts depend on: equal for models that are given the same prompts.

        Empty where the tokenizer cannot be told from another.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if self.tokenizer is not None and backend is None:
            return ""
        content = "" if backend is None else hash_bytes(backend.to_str().encode())
        return hash_of([content, self.bos, hash_of(self.ordinary_ids)])

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens.

        Raises:
            InputError: the model has no tokenizer, or the tokenizer has no token for a part of the text.
        """
        if self.tokenizer is None:
            raise InputError("this model has no tokenizer: pass token ids instead of text")
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and unknown in ids and self.tokenizer.unk_token not in text:
            raise InputError(f"the tokenizer of {self.spec} has no token for a part of {text!r}")
        return ids

    def words(self, ids: Sequence[int]) -> list[str]:
        """Each token as text; bare numbers where there is no tokenizer."""
        if self.tokenizer is None:
            return [str(int(token)) for token in ids]
        return [self.tokenizer.decode([int(token)]) for token in ids]

    def logits(self, tokens: Tokens) -> Logits:
        """Logits after the last token of each row."""
        output = self.hf(input_ids=tokens.to(self.device), logits_to_keep=1, use_cache=False)
        return output.logits[:, -1]

    def require_tokens(self, tokens: Tensor) -> None:
        """Raise an `InputError` unless every id is in the vocabulary and the prompt fits the context."""
        if tokens.numel() and (int(tokens.min()) < 0 or int(tokens.max()) >= self.d_vocab):
            raise InputError(f"token ids go from {int(tokens.min())} to {int(tokens.max())}, but {self.spec} has "
                             f"{self.d_vocab} tokens (0 to {self.d_vocab - 1})")  # fmt: skip
        context = getattr(self.hf.config, "max_position_embeddings", None)
        if context is not None and tokens.shape[1] > context:
            raise InputError(f"prompts of {tokens.shape[1]} tokens do not fit the {context} positions of {self.spec}")

    def require_unpadded(self, tokens: Tensor) -> None:
        """Raise an `InputError` if a prompt holds padding.

        Where padding and the beginning or end of a text are one token, it counts as padding at the last place, and at
        the first two places together.
        """
        source: Any = self.tokenizer if self.tokenizer is not None else self.hf.config
        pad = getattr(source, "pad_token_id", None)
        if not isinstance(pad, int):
            return
        padded = tokens == pad
        if pad in (getattr(source, "bos_token_id", None), getattr(source, "eos_token_id", None)):
            several = tokens.shape[1] > 1
            rows = padded[:, :2].all(1) & several | padded[:, -1] & several
        else:
            rows = padded.any(1)
        if rows.any():
            raise InputError(f"prompt {int(rows.nonzero()[0])} holds the padding token {pad}; give prompts of equal "
                             "length without padding, in groups by length if need be")  # fmt: skip


def count_parameters(hf: Any) -> int:
    """Parameters of a Hugging Face model less its token, position and output embeddings."""
    outside = {id(parameter) for parameter in hf.get_output_embeddings().parameters()}
    for module in hf.modules():
        if isinstance(module, nn.Embedding):
            outside |= {id(parameter) for parameter in module.parameters()}
    return sum(parameter.numel() for parameter in hf.parameters() if id(parameter) not in outside)


def require_finite(hf: nn.Module, name: object) -> None:
    """Raise a `ModelError` that names the first parameter holding a value that is not finite."""
    for parameter_name, parameter in hf.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(f"{name}: weights are not finite ({parameter_name}); the checkpoint is damaged")


@contextmanager
def hooked(hooks: Iterable[Hook]) -> Iterator[None]:
    """While open, each hook sees, and may replace, the first tensor that goes into or comes out of its module."""
    handles = []
    try:
        for module, side, function in hooks:
            if side == "input":
                handles.append(module.register_forward_pre_hook(_replacing_input(function), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(_replacing_output(function)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replacing_input(function: Callable) -> Callable:
    def before(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        value = args[0] if args else kwargs["hidden_states"]
        replacement = function(value)
        if replacement is None:
            return None
        return ((replacement, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": replacement})

    return before


def _replacing_output(function: Callable) -> Callable:
    def after(_module: nn.Module, _args: tuple, output: Any) -> Any:
        if isinstance(output, Tensor):
            return function(output)
        replacement = function(output[0])
        return None if replacement is None else (replacement, *output[1:])

    return after
