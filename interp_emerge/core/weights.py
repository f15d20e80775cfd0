"""Whether a model is still the one that was hooked: its modules, their weights, and what is attached to them.

Models change while they are analysed: the next checkpoint is loaded into them, training goes on, an adapter is merged,
a hook is set. `State.of` says cheaply whether anything may have changed, `content_of` whether any weight has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp_emerge.core.errors import ModelError

COLUMNS = 61
"""Weights are added up in so many columns, each with a factor of its own, so that exchanged rows change the sum too."""
FACTORS = np.arange(1, 2 * COLUMNS, 2)

NESTED = frozenset({list, tuple, dict})
PLAIN = frozenset({bool, int, float, str}) | NESTED
"""Kinds of attributes of modules that are compared by their values; dicts with a leading underscore are torch's own."""
LIBRARIES = frozenset({"torch", "transformers"})
"""Packages whose modules compute the same as long as their weights and numbers are the same."""
PASSING = frozenset(
    {"training", "gradient_checkpointing", "return_dict", "output_hidden_states", "output_attentions", "use_cache"}
    | {"name_or_path"}
)
"""Attributes and settings that decide no number of an analysis."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What a model consists of, in two numbers that are compared and never kept on disk."""

    attached: int
    """Of its modules, their classes, hooks and replaced methods, and numbers that their code reads."""
    held: int
    """Of the tensors that hold the weights, and how often each has been written to."""

    @classmethod
    def of(cls, hf: nn.Module) -> "State":
        """The state of a model as it is now."""
        attached: list[object] = [*_settings(getattr(hf, "config", None))]
        held: list[object] = []
        # Without calls inside: this runs at every measurement, on a few hundred attributes.
        for module in hf.modules():
            attached += [id(module), type(module), id(type(module).forward)]
            attached += [*module._forward_hooks, *module._forward_pre_hooks]
            tensors: list[Tensor | None] = []
            for name, value in module.__dict__.items():
                kind = type(value)
                if name == "forward":
                    attached.append(id(value))
                elif (
                    kind in PLAIN
                    and name not in PASSING
                    and not name.startswith("max_seq_len")  # follows the length of the prompt
                    and not (kind is dict and name.startswith("_"))
                ):
                    attached += [name, repr(value) if kind in NESTED else value]
                elif kind is np.ndarray or isinstance(value, np.generic):
                    attached += [name, value.tobytes()]
                elif isinstance(value, Tensor) and _decides(value, module):
                    tensors.append(value)
            tensors += module._parameters.values()
            tensors += _kept_buffers(module) if module._buffers else ()
            for tensor in tensors:
                if tensor is None:
                    continue
                try:
                    held += [id(tensor), tensor._version, tensor.data_ptr(), tensor.dtype]
                except RuntimeError:  # tensors of quantised layers may have no storage of their own
                    held.append(id(tensor))
        return cls(attached=hash(tuple(attached)), held=hash(tuple(held)))


def _settings(config: Any) -> Iterator[str]:
    """What a configuration holds, but for what decides no number."""
    for name, value in vars(config).items() if config is not None else ():
        if hasattr(value, "to_diff_dict"):  # the configuration of a part
            yield from _settings(value)
        elif name not in PASSING and (not name.startswith("_") or name.startswith("_attn")):
            yield f"{name}={value!r}"


@torch.no_grad()
def content_of(hf: nn.Module) -> int:
    """A number that any change of any weight changes, also one that goes past autograd, through `.data`."""
    return hash(tuple(_sum_of_bits(tensor) for tensor in _weights(hf)))


def _weights(hf: nn.Module) -> Iterator[Tensor]:
    held = ((*_kept_buffers(module), *_held_as_attributes(module)) for module in hf.modules())
    return chain(hf.parameters(), *held)


def _held_as_attributes(module: nn.Module) -> list[Tensor]:
    """Tensors that a module holds as plain attributes, and that decide what it computes."""
    return [one for one in module.__dict__.values() if isinstance(one, Tensor) and _decides(one, module)]


def _decides(tensor: Tensor, module: nn.Module) -> bool:
    """Whether a plain attribute counts: modules of transformers keep tables there that follow the prompt."""
    return tensor.numel() == 1 or runs_own_code(module)


def runs_own_code(module: nn.Module) -> bool:
    """Whether a module's class is not one of torch or transformers, or its `forward` was replaced."""
    return type(module).__module__.partition(".")[0] not in LIBRARIES or "forward" in module.__dict__


def may_change_unseen(hf: nn.Module) -> bool:
    """Whether a model runs code of its user, whose state cannot be seen: forward hooks, or modules of other classes."""
    return carries_hooks(hf) or any(map(runs_own_code, hf.modules()))


def carries_hooks(hf: nn.Module) -> bool:
    """Whether a forward hook is set on any module."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in hf.modules())


def _kept_buffers(module: nn.Module) -> list[Tensor]:
    """A module's buffers, but for tables that its code makes anew with the length of the prompt."""
    anew = any(kind in str(getattr(module, "rope_type", "")) for kind in ("dynamic", "longrope"))
    passing = module._non_persistent_buffers_set if anew else ()
    return [one for name, one in module._buffers.items() if one is not None and name not in passing]


def _sum_of_bits(tensor: Tensor) -> int:
    """Sum of a tensor's bytes taken as whole numbers, modulo 2^64; those of different columns count differently."""
    try:
        flat = tensor.detach().reshape(-1)
        size = flat.element_size()
        wide = size < 8 and flat.numel() * size % 8 == 0 and flat.storage_offset() * size % 8 == 0
        kind = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]
        bits = flat.view(torch.int64 if wide else kind)
    except (RuntimeError, KeyError, NotImplementedError):  # quantised and complex weights
        bits = tensor.detach().dequantize().double().reshape(-1).view(torch.int64)
    whole = len(bits) // COLUMNS * COLUMNS
    table, rest = bits[:whole].view(-1, COLUMNS), bits[whole:]
    if bits.device.type == "cpu":  # NumPy adds whole numbers four times as fast as torch does on processors
        columns = np.add.reduce(table.numpy(), axis=0, dtype=np.int64)
        left = int(np.add.reduce(rest.numpy(), dtype=np.int64))
    else:
        columns, left = table.sum(0, dtype=torch.int64).cpu().numpy(), int(rest.sum(dtype=torch.int64))
    return (int(np.dot(columns, FACTORS)) + left + len(bits)) % 2**64


def require_weights_at_hand(hf: nn.Module, name: object) -> None:
    """Raise a `ModelError` if weights are not in memory, or were made where autograd cannot use them."""
    for parameter_name, parameter in hf.named_parameters():
        if parameter.device.type == "meta":
            raise ModelError(f"{name}: the weight {parameter_name} is not in memory (it lies on 'meta': offloaded, or "
                             "never loaded); load the whole model onto one device, without offloading")  # fmt: skip
        if parameter.is_inference():
            raise ModelError(f"{name}: the weight {parameter_name} was made under torch.inference_mode, which rules "
                             "out gradients; load the model outside of it")  # fmt: skip


def require_finite(hf: nn.Module, name: object) -> None:
    """Raise a `ModelError` that names the first parameter holding a value that is not finite."""
    for parameter_name, parameter in hf.named_parameters():
        if parameter.is_floating_point() and not torch.isfinite(parameter).all():
            raise ModelError(f"{name}: weights are not finite ({parameter_name}); the checkpoint is damaged")


def require_one_device(hf: Any) -> None:
    """Raise a `ModelError` unless all weights lie on one device."""
    devices = sorted({str(parameter.device) for parameter in hf.parameters()})
    if len(devices) > 1:
        raise ModelError(f"the weights lie on several devices ({', '.join(devices)}); analyses of heads and edges need "
                         "them on one: load the model without device_map, or move it with .to(...)")  # fmt: skip


def hash_weights(hf: nn.Module, answers: Tensor | None = None) -> str:
    """Hash of the names and bytes of all parameters, and of answers that hooks change."""
    digest = sha256()
    for name, parameter in hf.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    if answers is not None:
        digest.update(answers.cpu().numpy().round(3).tobytes())
    return digest.hexdigest()[:16]
