"""What an analysis needs of a model: where its parts lie, its tokens, its logits, and whether it is still the same.

`families` fills its `Decoder` for each architecture; nothing else knows one architecture from another.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.agreement import Agreement, Reach
from interp_emerge.core.axes import Logits, LogitsByPosition, Tokens
from interp_emerge.core.decoder import Decoder, only_running
from interp_emerge.core.errors import InputError, require_kind
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import bytes_of_run, items_that_fit
from interp_emerge.core.shape import Shape
from interp_emerge.core.tokens.lexicon import FirstTokens, Lexicon
from interp_emerge.core.weights import State, content_of, require_finite, require_weights_at_hand


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
    """How the weights were processed after loading; `raw` means not at all, `changed in memory` that they are those
    that `revision` hashes and no longer those of the checkpoint."""
    prepended: str | None = field(default=None, compare=False)
    """The token in front of every prompt, as the vocabulary has it; empty for none, None until the model is loaded."""

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
        raise InputError(f"cannot read {text!r} as a model; expected FAMILY/SIZE/stepN/seedN")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


CHANGED = "changed in memory"


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
        read_shape: Callable[[nn.Module], Shape],
        prepend_bos: FirstTokens = None,
    ) -> None:
        self.hf, self.tokenizer = hf, tokenizer
        self._spec, self._depth = spec, 0
        self._find_decoder, self._build_bridge, self._read_shape = find_decoder, build_bridge, read_shape
        self._state, self._content = State.of(hf), content_of(hf)
        self.lexicon = Lexicon(tokenizer, lambda: self.shape, str(spec))
        self.begin_with(prepend_bos)

    def __repr__(self) -> str:
        first = f"prompts begin with {self.spec.prepended}" if self._bos else "nothing in front of prompts"
        return f"HookedModel({self.spec}, {self.n_parameters:,} non-embedding parameters, {first})"

    @property
    def spec(self) -> ModelSpec:
        """Which weights these are; of weights that were changed in memory, a hash of what they are now."""
        self._notice_changes()
        return self._spec

    @property
    def decoder(self) -> Decoder:
        """The model in parts that can be run by themselves.

        Raises:
            ModelError: the architecture cannot be split exactly into heads, MLPs and edges.
        """
        self._notice_changes()
        return self._decoder

    @cached_property
    def _decoder(self) -> Decoder:
        with self._prepared():
            return self._find_decoder(self.hf)

    @cached_property
    def _agreement(self) -> Agreement:
        decoder = self._decoder
        return Agreement(decoder.prove, n_parameters=self.n_parameters, lengths=decoder.lengths())

    @property
    def bridge(self) -> Any:
        """The same weights as a `transformer_lens` TransformerBridge, built when first asked for."""
        self._notice_changes()
        return self._bridge

    @cached_property
    def _bridge(self) -> Any:
        return self._build_bridge(self)

    @property
    def graph(self) -> Graph:
        """Writers, readers and edges of this model.

        Raises:
            ModelError: the architecture cannot be split exactly into heads, MLPs and edges.
        """
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        return self._decoder.graph

    @contextmanager
    def running(self, *, parameters: bool = True) -> Iterator[None]:
        """While open, the model runs as analyses need it: in evaluation mode, in its own precision, with gradients of
        activations alone. Changes of its weights are noticed at the start; at the end, the parts have been compared
        with the model on every length that was run.

        Raises:
            ModelError: weights that changed are not finite or not in memory, or the parts differ from the model.
        """
        if not self._depth:
            self._notice_changes(every_weight=True)
        self._depth += 1
        try:
            with self._prepared(parameters=parameters):
                yield
                if self._depth == 1:
                    self._compare_lengths()
        finally:
            self._depth -= 1

    def require_agreement(self, tokens: Tokens, last: Tensor, reach: Reach) -> None:
        """Compare the decoder with the model on those of the prompts that go beyond what has been compared before.

        Raises:
            ModelError: the model's own logits are different.
        """
        self._agreement.require(tokens, last, reach)

    def _compare_lengths(self) -> None:
        """Compare decoder and model on the lengths that were run and on which no prompt has been compared."""
        if "_decoder" not in self.__dict__:
            return
        decoder = self._decoder
        for length in sorted(decoder.lengths() - self._agreement.lengths):
            tokens = torch.arange(1, length + 1, device=self.device)[None] % self.d_vocab
            with torch.no_grad():
                decoder.prove(tokens, decoder.run(tokens)[:, -1])
            self._agreement.lengths.add(length)

    @contextmanager
    def _prepared(self, *, parameters: bool = True) -> Iterator[None]:
        with ExitStack() as open_until_done:
            if torch.is_inference_mode_enabled():
                # What leaves inference mode also turns gradients on.
                open_until_done.enter_context(torch.inference_mode(False))
                open_until_done.enter_context(torch.no_grad())
            if torch.is_autocast_enabled(self.device.type):
                open_until_done.enter_context(torch.autocast(self.device.type, enabled=False))
            open_until_done.enter_context(only_running(self.hf, parameters=parameters))
            yield

    def _notice_changes(self, *, every_weight: bool = False) -> None:
        """Forget what depended on weights, hooks or modules that have changed since, and name the new ones.

        Raises:
            ModelError: the new weights are not finite or not in memory.
        """
        if self._depth:
            return
        state = State.of(self.hf)
        if state == self._state and not every_weight:
            return
        if state != self._state:
            require_weights_at_hand(self.hf, self._spec)
        content = content_of(self.hf)
        if (state, content) == (self._state, self._content):
            return
        if content != self._content or state.attached != self._state.attached:
            require_finite(self.hf, self._spec)
            dtype = str(self.dtype).removeprefix("torch.")
            changes = {"revision": hash_weights(self.hf), "dtype": dtype, "location": "", "weights": CHANGED}
            self._spec = replace(self._spec, **changes)
        for made in ("_decoder", "_agreement", "_graph", "_bridge", "n_parameters"):
            self.__dict__.pop(made, None)
        self._state, self._content = state, content

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
    def shape(self) -> Shape:
        """How wide and long the model is, and which of its tokens are special."""
        return self._read_shape(self.hf)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.shape.d_model

    @property
    def d_vocab(self) -> int:
        """How many tokens the model has logits for."""
        return self.shape.d_vocab

    @property
    def n_context(self) -> int | None:
        """Positions that a prompt may have; None where nothing limits them."""
        return self.shape.n_context

    @property
    def bos(self) -> list[int]:
        """The ids that every prompt starts with, mostly a beginning-of-text token; empty where nothing is put first."""
        return [*self._bos]

    def begin_with(self, prepend_bos: FirstTokens) -> None:
        """Let every prompt that is made for this model begin with other tokens: see `ie.hook`.

        Raises:
            InputError: the choice is not one token of this model.
        """
        self._bos = self.lexicon.first(prepend_bos)
        self._spec = replace(self._spec, prepended=self.lexicon.recorded(self._bos))

    @property
    def ordinary_ids(self) -> list[int]:
        """Token ids that are no special token, ascending."""
        return self.lexicon.ordinary_ids

    @property
    def vocabulary(self) -> str:
        """Hash of all that prompts depend on: equal for models that are given the same prompts.

        Empty where the tokenizer cannot be distinguished from another.
        """
        return self.lexicon.vocabulary(self._bos)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens.

        Raises:
            InputError: the model has no tokenizer, or the tokenizer has no token for a part of the text.
        """
        return self.lexicon.encode(text)

    def words(self, ids: Sequence[int]) -> list[str]:
        """A name for each token, different for different ones; bare numbers where there is no tokenizer."""
        return self.lexicon.words(ids)

    def logits(self, tokens: Tokens, *, budget: int | None = None) -> Logits:
        """Logits after the last token of each row, in evaluation mode; rows are run in chunks that fit the budget.

        Raises:
            InputError: the tokens are not whole numbers of shape [row, pos] in the vocabulary.
        """
        require_kind(tokens, Tensor, "tokens", "a tensor of token ids, shape [row, pos]")
        if tokens.ndim != 2 or not tokens.numel() or tokens.is_floating_point():
            raise InputError(f"tokens of shape {list(tokens.shape)} and kind {tokens.dtype} are not prompts; give "
                             "whole numbers of shape [row, pos]")  # fmt: skip
        self.require_tokens(tokens)
        return torch.cat([logits[:, -1] for _, logits in self.logits_in_chunks(tokens, budget=budget)])

    def logits_in_chunks(
        self, tokens: Tokens, *, last: int | None = 1, budget: int | None = None
    ) -> Iterator[tuple[slice, LogitsByPosition]]:
        """Rows that fit the budget together, and their logits after each of the last tokens, in evaluation mode.

        Args:
            tokens: prompts.
            last: positions to give logits of, counted from the end; None gives all.
            budget: bytes that a chunk may need; by default a constant for the kind of device.

        Raises:
            InputError: a single prompt needs more than the budget that was given, or more than there is.
        """
        each = bytes_of_run(self.shape, tokens.shape[1], last or tokens.shape[1])
        n = items_that_fit(each, len(tokens), device=self.device, budget=budget)
        for start in range(0, len(tokens), n):
            rows = slice(start, start + n)
            # Open for the run alone: whoever takes the logits may stop in between. Where parameters ask for no gradient
            # torch takes another way through linear maps, and logits of the bundled models differ by up to 6e-6.
            with torch.no_grad(), self.running(parameters=False):
                logits = run_whole(self.hf, tokens[rows].to(self.device), keep=last or 0)
            yield rows, logits

    def require_tokens(self, tokens: Tensor) -> None:
        """Raise an `InputError` unless every id is in the vocabulary and the prompt fits the context."""
        if tokens.numel() and (int(tokens.min()) < 0 or int(tokens.max()) >= self.d_vocab):
            raise InputError(f"token ids go from {int(tokens.min())} to {int(tokens.max())}, but {self.spec} has "
                             f"{self.d_vocab} tokens (0 to {self.d_vocab - 1})")  # fmt: skip
        context = self.n_context
        if context is not None and tokens.shape[1] > context:
            raise InputError(f"prompts of {tokens.shape[1]} tokens do not fit the {context} positions of {self.spec}")

    def require_graph(self, graph: Graph, what: str = "the circuit was found") -> None:
        """Raise an `InputError` unless this is a graph of the model's shape; `what` begins the error."""
        if graph != self.graph:
            raise InputError(f"{what} in a graph of another shape than that of {self.spec}")

    def require_unpadded(self, tokens: Tensor) -> None:
        """Raise an `InputError` if a prompt holds padding: see `Lexicon.require_unpadded`."""
        self.lexicon.require_unpadded(tokens, self._bos)


def count_parameters(hf: Any) -> int:
    """Parameters of a Hugging Face model less its token, position and output embeddings."""
    outside = {id(parameter) for parameter in hf.get_output_embeddings().parameters()}
    for module in hf.modules():
        if isinstance(module, nn.Embedding):
            outside |= {id(parameter) for parameter in module.parameters()}
    return sum(parameter.numel() for parameter in hf.parameters() if id(parameter) not in outside)


def run_whole(hf: Any, tokens: Tensor, *, keep: int = 0) -> Tensor:
    """A Hugging Face model's own logits after each token, or after the last `keep`, shape [row, pos, d_vocab]."""
    more = {"logits_to_keep": keep} if keep and "logits_to_keep" in signature(hf.forward).parameters else {}
    logits = hf(input_ids=tokens, use_cache=False, return_dict=True, **more).logits
    return logits[:, -keep:] if keep else logits


def hash_weights(hf: nn.Module) -> str:
    """Hash of the names and bytes of all parameters."""
    digest = sha256()
    for name, parameter in hf.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
