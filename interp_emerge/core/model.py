"""A model as the analyses use it: its parts, its tokens, its logits, and whether it has changed.

`families` builds the `Decoder` for each architecture; no other code depends on the architecture.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from html import escape
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core import activations
from interp_emerge.core.agreement import Agreement, Reach
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import Logits, LogitsByPosition, Tokens
from interp_emerge.core.decoder import Decoder, only_running
from interp_emerge.core.errors import InputError, require_kind
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import bytes_of_run, items_that_fit
from interp_emerge.core.shape import Shape
from interp_emerge.core.spec import CHANGED, ModelSpec
from interp_emerge.core.tokens.lexicon import FirstTokens, Lexicon
from interp_emerge.core.weights import (
    State,
    carries_hooks,
    content_of,
    hash_weights,
    require_finite,
    require_weights_at_hand,
)
from interp_emerge.core.whole import count_parameters, fixed_answers, run_whole, same_answers


class HookedModel:
    """A causal language model whose parts can be read and replaced while it runs.

    `hf` is the Hugging Face module, used as it is. `bridge` is a TransformerBridge with the same weights.

    Example:
        >>> logits, cache = model.run_with_cache("When Mary and John met")
        >>> cache["pattern", 1].shape  # [prompt, head, query, key]
        >>> str(model.spec)
        'miniature/25k/step5000/seed0'
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

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"

    @property
    def spec(self) -> ModelSpec:
        """Which weights these are. If they were changed in memory, `revision` is a hash of the weights as they are."""
        self._notice_changes()
        return self._spec

    @property
    def decoder(self) -> Decoder:
        """The model in parts that can be run separately.

        Raises:
            ModelError: the architecture cannot be split exactly into heads, MLPs and edges.
        """
        self._notice_changes()
        return self._decoder

    @cached_property
    def _decoder(self) -> Decoder:
        self._answers = self._answer()
        with self._prepared():
            return self._find_decoder(self.hf)

    def _answer(self) -> Tensor | None:
        with self._prepared():
            return fixed_answers(self.hf, self.shape)

    @cached_property
    def _agreement(self) -> Agreement:
        decoder = self._decoder
        return Agreement(decoder.prove, n_parameters=self.n_parameters, lengths=decoder.lengths())

    @property
    def bridge(self) -> Any:
        """A `transformer_lens` TransformerBridge with the same weights, built when first used."""
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
        self._notice_changes()
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        return self._decoder.graph

    @contextmanager
    def running(self, *, parameters: bool = True) -> Iterator[None]:
        """While open, the model runs as analyses need it.

        It is in evaluation mode and in its own precision, and only activations have gradients. At the start, changes
        of the weights are noticed. At the end, the parts are compared with the model on every new length of prompts.

        Raises:
            ModelError: changed weights are not finite or not in memory, or the parts differ from the model.
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
        """Compare the decoder with the model on the prompts that exceed all prompts compared before: see `Agreement`.

        Raises:
            ModelError: the model's own logits are different.
        """
        self._agreement.require(tokens, last, reach, every=carries_hooks(self.hf))

    def _compare_lengths(self) -> None:
        """Compare decoder and model on lengths that were run but have not been compared yet."""
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
                # Leaving inference mode also turns gradients on.
                open_until_done.enter_context(torch.inference_mode(False))
                open_until_done.enter_context(torch.no_grad())
            if torch.is_autocast_enabled(self.device.type):
                open_until_done.enter_context(torch.autocast(self.device.type, enabled=False))
            open_until_done.enter_context(only_running(self.hf, parameters=parameters))
            yield

    def _notice_changes(self, *, every_weight: bool = False) -> None:
        """If weights, hooks or modules have changed, drop what was computed from them and give them a new name.

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
        otherwise = "_decoder" in self.__dict__ and not same_answers(self._answer(), self._answers)
        if (state, content) == (self._state, self._content) and not otherwise:
            return
        if otherwise or content != self._content or state.attached != self._state.attached:
            require_finite(self.hf, self._spec)
            dtype = str(self.dtype).removeprefix("torch.")
            changes = {
                "revision": hash_weights(self.hf, self._answer()),
                "dtype": dtype,
                "location": "",
                "weights": CHANGED,
            }
            self._spec = replace(self._spec, **changes)
        for outdated in ("_decoder", "_agreement", "_graph", "_bridge", "n_parameters"):
            self.__dict__.pop(outdated, None)
        self.lexicon.forget()
        self._state, self._content = state, content

    @property
    def device(self) -> torch.device:
        return next(self.hf.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.hf.parameters()).dtype

    @cached_property
    def n_parameters(self) -> int:
        """Number of parameters without the token, position and output embeddings."""
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
        """Largest number of tokens of a prompt; None if there is no limit."""
        return self.shape.n_context

    @property
    def bos(self) -> list[int]:
        """The token ids that every prompt starts with, usually one beginning-of-text token; empty if there are none."""
        return [*self._bos]

    def begin_with(self, prepend_bos: FirstTokens) -> None:
        """Set the tokens that every prompt made for this model begins with: see `ie.hook`.

        Raises:
            InputError: the choice names no token of this model.
        """
        self._bos = self.lexicon.first(prepend_bos)
        self._spec = replace(self._spec, prepended=self.lexicon.recorded(self._bos))

    @property
    def ordinary_ids(self) -> list[int]:
        """Ids of the tokens that are not special, ascending."""
        return self.lexicon.ordinary_ids

    @property
    def vocabulary(self) -> str:
        """Hash of everything that prompts depend on: equal for models that are given the same prompts.

        Empty if the tokenizer cannot be distinguished from other tokenizers.
        """
        return self.lexicon.vocabulary(self._bos)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens.

        Raises:
            InputError: the model has no tokenizer, or the tokenizer has no token for a part of the text.
        """
        return self.lexicon.encode(text)

    def words(self, ids: Sequence[int]) -> list[str]:
        """A name for each token; different tokens have different names. Without a tokenizer, the ids as text."""
        return self.lexicon.words(ids)

    def logits(self, tokens: activations.Prompt, *, budget: int | None = None) -> Logits:
        """Logits after the last token of each row, in evaluation mode. Rows are run in chunks that fit the budget.

        `tokens` are ids of shape [row, pos], or a text or several of equal length, which `bos` is put in front of.

        Raises:
            InputError: the tokens are not whole numbers of shape [row, pos] in the vocabulary, or a text cannot be
                encoded.
        """
        tokens = tokens if isinstance(tokens, Tensor) else activations.tokens_of(self, tokens)
        self.require_tokens(tokens)
        return torch.cat([logits[:, -1] for _, logits in self.logits_in_chunks(tokens, budget=budget)])

    @checked
    def run_with_cache(
        self, prompt: activations.Prompt, names: Iterable[str] | None = None
    ) -> tuple[LogitsByPosition, activations.Recording]:
        """Logits at every position, shape [prompt, pos, d_vocab], and activations: `cache["z", 3]` is z of layer 3.

        Args:
            prompt: text, which `bos` is put in front of; or ids, which are run as they are.
            names: names of activations as in `core.activations.HOOKS`; by default all.

        Raises:
            InterpEmergeError: a prompt that cannot be run, an unknown name, or an architecture that is not split.
        """
        return activations.run_with_cache(self, activations.tokens_of(self, prompt), names)

    @checked
    def run_with_hooks(
        self, prompt: activations.Prompt, fwd_hooks: Iterable[tuple[str | Callable[[str], bool], activations.Hook]]
    ) -> LogitsByPosition:
        """Logits at every position of a run in which activations are replaced, shape [prompt, pos, d_vocab].

        `fwd_hooks` are pairs of an activation's name, or a function that picks names, and a hook `f(value, hook)`. What
        it returns replaces the activation; None leaves it. `hook.name` and `hook.layer()` say where it is. Errors as in
        `run_with_cache`, and an `InputError` if a hook returns another shape.
        """
        return activations.run_with_hooks(self, activations.tokens_of(self, prompt), fwd_hooks)

    def logits_in_chunks(
        self, tokens: Tokens, *, last: int | None = 1, budget: int | None = None
    ) -> Iterator[tuple[slice, LogitsByPosition]]:
        """Chunks of rows that fit the budget, each with its logits after the last tokens, in evaluation mode.

        Args:
            tokens: prompts.
            last: number of positions, counted from the end, to give logits of; None gives all.
            budget: bytes that a chunk may need; by default a constant for the kind of device.

        Raises:
            InputError: a single prompt needs more than the given budget, or more than the free memory.
        """
        require_kind(tokens, Tensor, "tokens", "a tensor of token ids, shape [row, pos], or use model.logits(text)")
        each = bytes_of_run(self.shape, tokens.shape[1], last or tokens.shape[1])
        n = items_that_fit(each, len(tokens), device=self.device, budget=budget)
        for start in range(0, len(tokens), n):
            rows = slice(start, start + n)
            # Open during the run only: the caller may stop between chunks. Parameters keep requiring gradients: without
            # that torch computes linear maps in another way, and logits differ by up to 6e-6.
            with torch.no_grad(), self.running(parameters=False):
                logits = run_whole(self.hf, tokens[rows].to(self.device), keep=last or 0)
            yield rows, logits

    def require_tokens(self, tokens: Tensor) -> None:
        """Raise an `InputError` unless these are ids of shape [row, pos], in the vocabulary, that fit the context."""
        require_kind(tokens, Tensor, "tokens", "a tensor of token ids, shape [row, pos]")
        if tokens.ndim != 2 or not tokens.numel() or tokens.dtype not in (torch.int64, torch.int32):
            raise InputError(f"tokens have shape {list(tokens.shape)} and dtype {tokens.dtype}; give whole numbers of "
                             "shape [row, pos]")  # fmt: skip
        if int(tokens.min()) < 0 or int(tokens.max()) >= self.d_vocab:
            raise InputError(
                f"token ids go from {int(tokens.min())} to {int(tokens.max())}, but {self.spec} has {self.d_vocab} "
                f"tokens (0 to {self.d_vocab - 1}); give token ids of this model"
            )
        context = self.n_context
        if context is not None and tokens.shape[1] > context:
            raise InputError(f"prompts of {tokens.shape[1]} tokens do not fit the {context} positions of {self.spec}; "
                             "give shorter prompts")  # fmt: skip

    def require_graph(self, graph: Graph, what: str = "the circuit was found") -> None:
        """Raise an `InputError` unless this graph is the model's; `what` is the beginning of the error message."""
        if graph != self.graph:
            raise InputError(f"{what} on a model whose graph differs from that of {self.spec}; use a model of the same "
                             "shape")  # fmt: skip

    def require_unpadded(self, tokens: Tensor) -> None:
        """Raise an `InputError` if a prompt contains padding: see `Lexicon.require_unpadded`."""
        self.lexicon.require_unpadded(tokens, self._bos)
