"""Keep activations on disk: they are recorded once for each model and set of prompts, then read back.

A cache is one safetensors file and a manifest that a person can read. Its key is the hash of everything that changes
the numbers: weights, dtype, prompts, what is recorded, and the versions of torch and transformers. Recordings of the
current model stay in memory too, up to a budget, since one analysis needs the same run many times. On disk they take at
most `MOST_BYTES`: the oldest ones are removed, and recorded again if they are needed.
"""

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from interp_emerge.caching.recording import Recording, record
from interp_emerge.core.axes import Tokens
from interp_emerge.core.files import hash_of, write_atomically
from interp_emerge.core.memory import ACCELERATOR_BUDGET, CPU_BUDGET
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record

FORMAT = 2
MOST_BYTES = 1 << 30
"""Bytes that the caches of a directory may take on disk: prompts of 15 tokens take 2 MB each in a model of 135 million
parameters."""
ALIGNMENT = 64
"""Torch allocates CPU memory at multiples of this number of bytes."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActivationStore(Record):
    """A directory of activation caches."""

    root: Path
    most_bytes: int = MOST_BYTES
    _held: dict[str, Recording] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Recordings of the current model, by key."""
    _model: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    """The specification of the current model, which is the last one asked for; empty before."""

    def recording(self, model: HookedModel, tokens: Tokens, *, patterns: bool = False) -> Recording:
        """The activations of a model on prompts, from memory or disk if they were recorded before."""
        key, content = _keyed(model, tokens, patterns)
        if (found := self._found(model, key)) is not None:
            return found
        fresh = _contiguous(record(model, tokens, patterns=patterns))
        unique = {name: tensor.cpu() for name, tensor in fresh.activations.items()}
        self._make_room(sum(tensor.nbytes for tensor in unique.values()))
        write_atomically(self._file(key), save(unique))
        described = {**content, "tensors": {name: [*tensor.shape] for name, tensor in unique.items()}}
        write_atomically(self.root / f"{key}.json", json.dumps(described, indent=1, sort_keys=True).encode())
        return self._hold(key, fresh)

    def passing(self, model: HookedModel, tokens: Tokens) -> Recording:
        """Like `recording`, but a new recording is kept in memory only: for checkpoints that are analysed once."""
        key, _ = _keyed(model, tokens, patterns=False)
        found = self._found(model, key)
        return found if found is not None else self._hold(key, _contiguous(record(model, tokens)))

    def _found(self, model: HookedModel, key: str) -> Recording | None:
        """An earlier recording from memory or disk; None without one."""
        if (held := self._held_of(model).get(key)) is not None:
            return held
        if not (self._file(key).is_file() and (self.root / f"{key}.json").is_file()):
            return None
        try:
            stored = load_file(self._file(key), device=str(model.device))
            return self._hold(key, Recording(activations={name: _aligned(tensor) for name, tensor in stored.items()}))
        except (SafetensorError, OSError) as error:
            log.warning("cache %s cannot be read (%s) and is recorded again", self._file(key), error)
            return None

    def _file(self, key: str) -> Path:
        return self.root / f"{key}.safetensors"

    def _held_of(self, model: HookedModel) -> dict[str, Recording]:
        """The recordings in memory of this model; those of another model are dropped."""
        if self._model != [model.spec]:
            self._held.clear()
            self._model[:] = [model.spec]
        return self._held

    def _hold(self, key: str, recording: Recording) -> Recording:
        """Keep a recording in memory, and drop the oldest ones until all fit into the budget."""
        on_cpu = all(tensor.device.type == "cpu" for tensor in recording.activations.values())
        budget = CPU_BUDGET if on_cpu else ACCELERATOR_BUDGET
        self._held[key] = recording
        while self._held and sum(map(_bytes_of, self._held.values())) > budget:
            del self._held[next(iter(self._held))]
        return recording

    def _make_room(self, size: int) -> None:
        """Remove the oldest caches until one more of this size fits."""
        caches = []
        for path in self.root.glob("*.safetensors"):
            with suppress(FileNotFoundError):  # another process made room
                caches.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        caches.sort()
        while caches and size + sum(held for _, held, _ in caches) > self.most_bytes:
            _, _, oldest = caches.pop(0)
            oldest.with_suffix(".json").unlink(missing_ok=True)
            oldest.unlink(missing_ok=True)

    def bytes_on_disk(self) -> int:
        """Size of all caches."""
        return sum(path.stat().st_size for path in self.root.glob("*.safetensors"))


def _keyed(model: HookedModel, tokens: Tokens, patterns: bool) -> tuple[str, dict[str, Any]]:
    content = manifest(model, tokens, patterns=patterns)
    return hash_of(content), content


def _contiguous(recording: Recording) -> Recording:
    """The same activations, laid out in memory as they are after reading them from disk."""
    return Recording(activations={name: tensor.contiguous() for name, tensor in recording.activations.items()})


def _aligned(tensor: Tensor) -> Tensor:
    """The same values at an aligned address, so that products with them have the same bits as in the first run.

    Tensors read from a file can start at any multiple of 8 bytes, and on some processors the last bits of a product
    depend on the address.
    """
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _bytes_of(recording: Recording) -> int:
    return sum(tensor.nbytes for tensor in recording.activations.values())


def manifest(model: HookedModel, tokens: Tokens, *, patterns: bool) -> dict[str, Any]:
    """Everything that the activations of a run depend on."""
    return {
        "format": FORMAT,
        "model": model.spec.to_dict(),
        "prompts": hashlib.sha256(tokens.cpu().numpy().astype("<i8").tobytes()).hexdigest()[:16],
        "shape": list(tokens.shape),
        "patterns": patterns,
        "versions": {package: version(package) for package in ("torch", "transformers")},
    }
