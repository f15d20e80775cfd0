"""Read a tokenizer in any of the forms in which it may be given, and check that it fits the model."""

from os import PathLike
from pathlib import Path
from typing import Any

from interp_emerge.core.errors import InputError, ModelError, described

WANTED = "a transformers tokenizer, a tokenizers.Tokenizer, or the path of a tokenizer's directory or tokenizer.json"


def as_tokenizer(given: Any) -> Any:
    """A transformers tokenizer, made from one, from a `tokenizers.Tokenizer` or from a path; None stays None.

    Raises:
        InputError: `given` is something else, or a path without a tokenizer.
        ModelError: the tokenizer cannot be read.
    """
    if given is None:
        return None
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    if isinstance(given, PreTrainedTokenizerBase):
        return given
    if isinstance(given, Tokenizer):
        return _wrapped(given)
    if isinstance(given, str | PathLike):
        return _read(Path(given))
    inner = getattr(given, "tokenizer", None)  # a processor for text and images holds its tokenizer here
    if isinstance(inner, PreTrainedTokenizerBase):
        return inner
    raise InputError(f"the tokenizer cannot be {described(given)}; give {WANTED}")


def require_fitting_tokenizer(tokenizer: Any, n_tokens: int, name: str) -> None:
    """Raise a `ModelError` if a tokenizer has a token id that the model does not have."""
    known = {} if tokenizer is None else tokenizer.get_vocab()
    if not known:
        return
    text = max(known, key=lambda one: known[one])
    if known[text] >= n_tokens:
        raise ModelError(f"the tokenizer does not fit {name}: {text!r} has id {known[text]}, but the model has ids "
                         f"0 to {n_tokens - 1}; give the tokenizer that the model was trained with")  # fmt: skip


def _wrapped(given: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    unknown = getattr(given.model, "unk_token", None)
    return PreTrainedTokenizerFast(tokenizer_object=given, **({"unk_token": unknown} if unknown else {}))


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer

    from interp_emerge.families._disk.loading import _read_tokenizer, has_tokenizer

    if path.name == "tokenizer.json" and (path.parent / "tokenizer_config.json").is_file():
        path = path.parent
    if path.is_dir() and has_tokenizer(path):
        return _read_tokenizer(path)
    if path.is_dir():
        raise InputError(f"{path} holds no tokenizer; give {WANTED}")
    if not path.is_file():
        raise InputError(f"the tokenizer {str(path)!r} is neither a directory nor a file here; give {WANTED}")
    try:
        return _wrapped(Tokenizer.from_file(str(path)))
    except Exception as error:  # the Rust part of tokenizers raises bare Exceptions
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path} cannot be read as a tokenizer.json ({reason}); give {WANTED}") from error
