"""Prompt pairs on disk: one safetensors file, whose header holds as JSON what is not a tensor."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from interp_emerge.abilities.own.completions import Completions
from interp_emerge.abilities.own.encoding import Encoding
from interp_emerge.core.errors import InputError
from interp_emerge.core.files import require_writable, write_atomically

if TYPE_CHECKING:
    from interp_emerge.abilities.pairs import PromptPairs

SCHEMA = "interp_emerge.pairs/1"
HEADER = "interp_emerge.pairs"
"""Key of the JSON in the file's header."""


class Manifest(BaseModel):
    """What a file of prompt pairs says besides its tensors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    schema_: str = Field(alias="schema", description="name and version of this format")
    fingerprint: str = Field(description="hash of the token ids, as in PromptPairs.fingerprint")
    ability: str
    templates: list[str]
    positions: list[str] = Field(description="names, in the order of the tensors position.0, position.1 ...")
    variables: list[str] = Field(description="names, in the order of the tensors variable.0, variable.1 ...")
    labels: dict[str, list[str]]
    vocabulary: str | None = Field(
        description="hash of the tokenizer that encoded the text; null for ids, empty if unknown"
    )
    first: str = Field(description="what stands first in every prompt, as the vocabulary writes it")
    names: dict[str, str] = Field(description="name of each token that occurs, by its id")


def write_pairs(pairs: "PromptPairs", path: Path) -> None:
    """Write the pairs to a file.

    Raises:
        InputError: the name does not end in .safetensors, or the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; give a name that ends in .safetensors")
    require_writable(path)
    encoding = pairs.encoding
    manifest = Manifest(
        schema=SCHEMA,
        fingerprint=pairs.fingerprint,
        ability=pairs.ability,
        templates=[*pairs.templates],
        positions=[*pairs.positions],
        variables=[*pairs.variables],
        labels={name: [*texts] for name, texts in pairs.labels.items()},
        vocabulary=None if encoding is None else encoding.vocabulary,
        first="" if encoding is None else encoding.first,
        names={} if encoding is None else {str(token): name for token, name in encoding.names.items()},
    )
    tensors: dict[str, Tensor | None] = {
        "clean": torch.tensor(pairs.prompts("clean")),
        "corrupt": torch.tensor(pairs.prompts("corrupt")),
        "lengths": pairs.lengths,
        "answer": pairs.answer,
        "foil": pairs.foil,
        "continuation": pairs.continuation,
        **{f"position.{place}": pairs.positions[name] for place, name in enumerate(pairs.positions)},
        **{f"variable.{place}": pairs.variables[name] for place, name in enumerate(pairs.variables)},
    }
    if pairs.completions is not None:
        tensors |= {f"completions.{name}": values for name, values in pairs.completions.tensors.items()}
    kept = {name: values.contiguous().clone() for name, values in tensors.items() if values is not None}
    write_atomically(path, save(kept, metadata={HEADER: manifest.model_dump_json(by_alias=True)}))


def read_pairs(path: Path, make: "type[PromptPairs]") -> "PromptPairs":
    """The pairs that a file holds, made by the class and compared with the fingerprint in the file.

    Raises:
        InputError: the file is missing, damaged, or not one of prompt pairs.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a dict)
            written = (file.metadata() or {}).get(HEADER)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a file of prompt pairs: {error}") from error
    if written is None:
        raise InputError(f"{path} is not a file of prompt pairs: its header has no {HEADER!r}; write one with "
                         "pairs.save(path)")  # fmt: skip
    try:
        manifest = Manifest.model_validate_json(written)
        pairs = make(**_fields(manifest, tensors))
    except (ValidationError, InputError, KeyError, ValueError, TypeError, IndexError) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{path} is not a whole file of prompt pairs: {said}; save the pairs again") from error
    if pairs.fingerprint != manifest.fingerprint:
        raise InputError(f"{path} was changed after it was written; save the pairs again")
    return pairs


def _fields(manifest: Manifest, tensors: dict[str, Tensor]) -> dict[str, Any]:
    if manifest.schema_ != SCHEMA:
        raise ValueError(f"its format is {json.dumps(manifest.schema_)}, not {SCHEMA}")
    lengths = [int(length) for length in tensors["lengths"]]
    whole = {name.partition(".")[2]: values for name, values in tensors.items() if name.startswith("completions.")}
    encoding = None
    if manifest.vocabulary is not None:
        names = {int(token): name for token, name in manifest.names.items()}
        encoding = Encoding(vocabulary=manifest.vocabulary, names=names, first=manifest.first)
    return {
        **{
            name: [row[:n] for row, n in zip(tensors[name].tolist(), lengths, strict=True)]
            for name in ("clean", "corrupt")
        },
        "answer": tensors["answer"],
        "foil": tensors["foil"],
        "continuation": tensors.get("continuation"),
        "templates": manifest.templates,
        "positions": {name: tensors[f"position.{place}"] for place, name in enumerate(manifest.positions)},
        "variables": {name: tensors[f"variable.{place}"] for place, name in enumerate(manifest.variables)},
        "labels": manifest.labels,
        "ability": manifest.ability,
        "completions": Completions(**whole) if whole else None,
        "encoding": encoding,
    }
