"""A family of one model in a GGUF file, which transformers reads and multiplies out to plain weights."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.files import hash_of
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families._disk.loading import (
    BUILD_ERRORS,
    DTYPES,
    Place,
    _find_device,
    _first_line,
    _hash_file,
    _quieten_transformers,
)
from interp_emerge.families.base import Family
from interp_emerge.families.hooking import hook

SUFFIX = ".gguf"
NOT_KEPT = ("quantization_config", "_name_or_path", "model_type", "transformers_version", "dtype", "torch_dtype")
"""Settings that do not belong to the multiplied-out model, or that are given apart."""


class GgufFamily(Family):
    """One model, of one size and step, in one file. Its size is the file's name without the ending."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.name = path.stem
        self.summary = f"the model in {path.name}, multiplied out from GGUF"
        self.source = Source("local file", 0, str(self.path))

    @property
    def address(self) -> str:
        return str(self.path)

    @property
    def sizes(self) -> list[str]:
        return [self.path.stem]

    def _seeds(self, size: str) -> list[int]:
        return [0]

    def _steps(self, size: str, seed: int) -> list[int]:
        return [0]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        stamp = self.path.stat()
        revision = hash_of(_hash_file(self.path, stamp.st_size, stamp.st_mtime_ns))
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=self.path.name, revision=revision)

    def _load(self, spec: ModelSpec, device: Place) -> HookedModel:
        if spec.dtype not in DTYPES:
            raise InputError(f"dtype {spec.dtype!r} is not one of {', '.join(DTYPES)}")
        if not isinstance(device, str):
            raise InputError("a GGUF file is loaded to one device; leave out device_map")
        hf, tokenizer = read_gguf(self.path)
        return hook(hf.to(DTYPES[spec.dtype]).to(_find_device(device)), tokenizer=tokenizer, spec=spec)


def require_gguf(path: Path) -> None:
    """Raise a `ModelError` unless the package that reads GGUF is installed."""
    if find_spec("gguf") is None:
        raise ModelError(f"{path} is a GGUF file, and reading it needs the package gguf; install it with "
                         "`pip install 'interp-emerge[gguf]'`")  # fmt: skip


def read_gguf(path: Path) -> tuple[Any, Any]:
    """A model with plain weights, and its tokenizer.

    transformers marks a model from a GGUF file as quantised, though its weights are multiplied out. The weights are
    put into a new model of the same configuration, which is an ordinary one.

    Raises:
        ModelError: the package gguf is missing, or the file cannot be read.
    """
    require_gguf(path)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    _quieten_transformers()
    where = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    try:
        read: Any = AutoModelForCausalLM.from_pretrained(path.parent, **where)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **where)
        settings = {key: value for key, value in read.config.to_dict().items() if key not in NOT_KEPT}
        config = AutoConfig.for_model(read.config.model_type, **settings)
        hf = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
        hf.load_state_dict(read.state_dict())
    except BUILD_ERRORS as error:
        raise ModelError(f"{path} cannot be read as a GGUF model ({_first_line(error)}); copy or download it "
                         "again") from error  # fmt: skip
    return hf.eval(), tokenizer


def only_gguf(directory: Path) -> Path | None:
    """The GGUF file of a directory that holds one and no checkpoint; None otherwise.

    Raises:
        ModelError: it holds several, of which one has to be named.
    """
    if any(directory.rglob("config.json")):
        return None
    files = sorted(path for path in directory.glob(f"*{SUFFIX}") if path.is_file())
    if len(files) > 1:
        raise ModelError(f"{directory} holds {len(files)} GGUF files ({files[0].name}, …); name one of them")
    return files[0] if files else None
