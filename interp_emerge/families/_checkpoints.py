"""Load one checkpoint, from a directory or from the hub, and refuse what cannot be trusted.

Weights are read from safetensors only, and no code that comes with a checkpoint is run.
"""

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import Any

import torch

from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.model import HookedModel, ModelSpec, count_parameters
from interp_emerge.families._hooking import hook

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
log = logging.getLogger(__name__)


def load_checkpoint(spec: ModelSpec, source: str, device: str, *, tokenizer: str | None, **options: Any) -> HookedModel:
    """The model of a directory or hub repository, every weight found and finite.

    Args:
        spec: what the model is called in results.
        source: directory or repository.
        device: where to put it; empty means a GPU if there is one.
        tokenizer: directory or repository of the tokenizer, or None.
        options: passed on to `from_pretrained`: `revision`, `local_files_only`.

    Raises:
        ModelError: no weights, damaged weights, or an architecture that transformers cannot build.
        InputError: an unknown dtype.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if spec.dtype not in DTYPES:
        raise InputError(f"dtype {spec.dtype!r} is not one of {', '.join(DTYPES)}")
    _quieten_transformers()
    try:
        hf, info = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=DTYPES[spec.dtype],
            attn_implementation="eager",
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=False,
            **options,
        )
        found = AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False, **options) if tokenizer else None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"cannot load {spec} from {source}: {_first_line(error)}") from error
    except Exception as error:  # safetensors' own error has no public base class
        if type(error).__module__.startswith(("safetensors", "builtins")) or "Safetensor" in type(error).__name__:
            raise ModelError(f"cannot load {spec} from {source}: {_first_line(error)}") from error
        raise
    if missing := sorted(info["missing_keys"]):
        raise ModelError(f"{spec}: {len(missing)} weights are missing from {source} ({missing[0]}, …)")
    return hook(hf.to(device or ("cuda" if torch.cuda.is_available() else "cpu")), tokenizer=found, spec=spec)


@cache
def count_parameters_of(source: str, revision: str | None = None) -> int:
    """Non-embedding parameters of a checkpoint, from its configuration alone.

    Raises:
        ModelError: the configuration names no causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    _quieten_transformers()
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        with torch.device("meta"):
            return count_parameters(AutoModelForCausalLM.from_config(config))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{source} is no causal language model: {_first_line(error)}") from error


def hash_files(directory: Path) -> str:
    """Hash of a checkpoint's weights and configuration, by content.

    Raises:
        ModelError: the directory holds no safetensors.
    """
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        raise ModelError(f"{directory} holds no .safetensors file; convert pickled weights with save_pretrained first")
    stamps = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in weights)
    return _hash_content(stamps, str(directory / "config.json"))


@cache
def _hash_content(stamps: tuple[tuple[str, int, int], ...], config: str) -> str:
    digest = hashlib.sha256(Path(config).read_bytes())
    for path, _size, _modified in stamps:
        with open(path, "rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()[:16]


@cache
def _quieten_transformers() -> None:
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
