"""Activation caches on disk: recorded once for each model and set of prompts, then read back.

A cache is one safetensors file beside a manifest that a person can read. Its key is the hash of everything that changes
the numbers: weights, dtype, prompts, what is recorded, and the versions of torch and transformers.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from interp_emerge.caching.recording import Recording, record
from interp_emerge.core.axes import Tokens
from interp_emerge.core.files import hash_of, write_atomically
from interp_emerge.core.model import HookedModel

FORMAT = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActivationStore:
    """A directory of activation caches."""

    root: Path

    def recording(self, model: HookedModel, tokens: Tokens, *, patterns: bool = False) -> Recording:
        """The activations of a model on prompts, from disk if they were recorded before."""
        content = manifest(model, tokens, patterns=patterns)
        key = hash_of(content)
        tensors = self.root / f"{key}.safetensors"
        if tensors.is_file() and (self.root / f"{key}.json").is_file():
            try:
                return Recording(activations=load_file(tensors, device=str(model.device)))
            except (SafetensorError, OSError) as error:
                log.warning("cache %s cannot be read (%s) and is recorded again", tensors, error)
        fresh = record(model, tokens, patterns=patterns)
        unique = {name: tensor.contiguous().cpu() for name, tensor in fresh.activations.items()}
        write_atomically(tensors, save(unique))
        described = {**content, "tensors": {name: [*tensor.shape] for name, tensor in unique.items()}}
        write_atomically(self.root / f"{key}.json", json.dumps(described, indent=1, sort_keys=True).encode())
        return fresh

    def bytes_on_disk(self) -> int:
        """Size of all caches."""
        return sum(path.stat().st_size for path in self.root.glob("*.safetensors"))


def manifest(model: HookedModel, tokens: Tokens, *, patterns: bool) -> dict[str, Any]:
    """Everything that decides the activations of a run."""
    return {
        "format": FORMAT,
        "model": model.spec.to_dict(),
        "prompts": hashlib.sha256(tokens.cpu().numpy().astype("<i8").tobytes()).hexdigest()[:16],
        "shape": list(tokens.shape),
        "patterns": patterns,
        "versions": {package: version(package) for package in ("torch", "transformers")},
    }
