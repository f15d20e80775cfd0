"""Load one checkpoint from disk, and refuse one that is damaged, incomplete or unsafe.

Weights are read from safetensors only, and no code that comes with a checkpoint is run.
"""

import logging
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.files import hash_of
from interp_emerge.core.model import HookedModel
from interp_emerge.core.spec import ModelSpec
from interp_emerge.core.whole import count_parameters
from interp_emerge.families.hooking import hook

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WEIGHTS = "model*.safetensors"
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Words by which accelerate spreads a model over the devices that there are."""
Place = str | Mapping[str, int | str]
"""A device, a word of `DEVICE_MAPS`, or the device of each module."""
ADAPTER = "adapter_config.json"
"""The file that peft writes with an adapter; where peft is installed, transformers adds it to the model silently."""
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")
"""Files of which each is enough to make a tokenizer."""
TOKENIZER_FILES = (*TOKENIZERS, "tokenizer_config.json", "merges.txt", "special_tokens_map.json", "added_tokens.json")
"""Files that may change how a text is split into tokens."""
BUILD_ERRORS = (
    *(OSError, ImportError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError),
    *(SafetensorError, StrictDataclassError),
)
"""What transformers raises; the type depends on which part of a checkpoint is wrong."""
log = logging.getLogger(__name__)


def load_checkpoint(spec: ModelSpec, directory: Path, device: Place, *, tokenizer: Path | None) -> HookedModel:
    """The model in a directory, every weight found and finite.

    Args:
        spec: what the model is called in results.
        directory: holds `config.json` and safetensors.
        device: device that holds the model; empty means a GPU if there is one. A mapping from modules to devices, or
            one of `DEVICE_MAPS`, spreads it over several.
        tokenizer: directory of the tokenizer, or None.

    Raises:
        ModelError: no weights, damaged weights, a tokenizer that cannot be read or does not fit, or an architecture
            that transformers cannot build.
        InputError: an unknown dtype, or a device that this machine lacks.
    """
    if spec.dtype not in DTYPES:
        raise InputError(f"dtype {spec.dtype!r} is not one of {', '.join(DTYPES)}")
    spread = device if isinstance(device, Mapping) or device in DEVICE_MAPS else None
    place = None if spread is not None else _find_device(str(device))
    _require_weights(directory)
    _quieten_transformers()
    hf = _read_model(spec, directory, spread)
    hf = hf if place is None else hf.to(place)
    return hook(hf, tokenizer=_read_tokenizer(tokenizer) if tokenizer else None, spec=spec)


def count_parameters_of(directory: Path) -> int:
    """Non-embedding parameters of a checkpoint, from its configuration alone.

    Raises:
        ModelError: the configuration does not describe a causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    _quieten_transformers()
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        with torch.device("meta"):
            return count_parameters(AutoModelForCausalLM.from_config(config))
    except BUILD_ERRORS as error:
        reason = _first_line(error)
        raise ModelError(f"{directory}/config.json does not describe a causal language model: {reason}") from error


def has_tokenizer(directory: Path) -> bool:
    """Whether a directory holds a tokenizer. Without these files transformers makes up an empty one."""
    return any((directory / name).is_file() for name in TOKENIZERS)


def has_weights(directory: Path) -> bool:
    """Whether a directory holds weights that this package reads."""
    return any(directory.glob(WEIGHTS))


def hash_checkpoint(directory: Path, tokenizer: Path | None) -> str:
    """Hash of a checkpoint's weights, configuration and tokenizer, by content.

    Raises:
        ModelError: the directory holds no safetensors.
    """
    _require_weights(directory)
    files = [directory / "config.json", *sorted(directory.glob(f"{WEIGHTS}*"))]
    if tokenizer:
        files += [tokenizer / name for name in sorted(TOKENIZER_FILES) if (tokenizer / name).is_file()]
    stamps = [(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hash_of([[path.name, _hash_file(path, size, modified)] for path, size, modified in stamps])


@cache
def _hash_file(path: Path, _size: int, _modified: int) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def _read_model(spec: ModelSpec, directory: Path, spread: "str | Mapping[str, int | str] | None" = None) -> Any:
    from transformers import AutoModelForCausalLM

    placed = {} if spread is None else {"device_map": spread if isinstance(spread, str) else dict(spread)}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=DTYPES[spec.dtype],
            attn_implementation="eager",
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # they are refused below, with their names
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            **placed,
        )
    except BUILD_ERRORS as error:
        raise ModelError(f"{spec} cannot be loaded from {directory} ({_first_line(error)}); "
                         "copy or download the checkpoint again") from error  # fmt: skip
    hf, found = loaded
    for fault, key in (("missing", "missing_keys"), ("not of the shape that config.json gives", "mismatched_keys")):
        if names := sorted(name if isinstance(name, str) else name[0] for name in found[key]):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{spec}: weights in {directory} are {fault} ({names[0]}{more}); "
                             "copy or download the checkpoint again")  # fmt: skip
    if names := sorted(found["unexpected_keys"]):
        log.warning("%s does not use %d weights in %s; the first is %s", spec, len(names), directory, names[0])
    return hf


def _read_tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust part of tokenizers raises bare Exceptions
        raise ModelError(f"the tokenizer in {directory} cannot be read ({_first_line(error)}); "
                         "copy or download it again") from error  # fmt: skip


def _require_weights(directory: Path) -> None:
    if (directory / ADAPTER).is_file():
        raise ModelError(f"{directory} holds an adapter ({ADAPTER}), which is not part of the weights; merge it into "
                         "its base model (merge_and_unload) and save the result")  # fmt: skip
    if has_weights(directory):
        return
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in directory.glob(pattern))
    if pickled:
        raise ModelError(f"{directory} holds pickled weights only ({pickled[0]}), which can run code; load them where "
                         "that is safe and write safetensors with save_pretrained")  # fmt: skip
    raise ModelError(f"{directory} holds a config.json but no weights; add its model.safetensors")


def _find_device(device: str) -> torch.device:
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise InputError(f"{device!r} is not a device; give cpu or cuda, or leave it empty") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"the device is {device!r}, but there is no GPU here; leave the device empty")
    return place


@cache
def _quieten_transformers() -> None:
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()


def _first_line(error: Exception) -> str:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if isinstance(error, StrictDataclassError) else "".join(lines[:1])
    return f"{type(error).__name__} {text}" if isinstance(error, KeyError) else text or type(error).__name__
