"""A family of models that are in memory, so that whatever takes a family runs on them."""

from collections.abc import Mapping
from dataclasses import replace

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families.base import Family

PREFIX = "memory:"
_HELD: dict[str, "MemoryFamily"] = {}


class MemoryFamily(Family):
    """Models by size; each has one step, that of its spec, and one seed."""

    def __init__(self, models: Mapping[str, HookedModel], name: str) -> None:
        self.models = dict(sorted(models.items(), key=lambda item: item[1].n_parameters))
        self.name = f"{PREFIX}{name}"
        self.summary = f"models in memory: {', '.join(self.models)}"
        self.source = Source("models in memory", 0, self.name)

    @property
    def sizes(self) -> list[str]:
        return list(self.models)

    def _seeds(self, size: str) -> list[int]:
        return [self.models[size].spec.seed]

    def _steps(self, size: str, seed: int) -> list[int]:
        return [self.models[size].spec.step]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        return replace(self.models[size].spec, family=self.name, size=size)

    def _load(self, spec: ModelSpec, device: object) -> HookedModel:
        model = self.models[spec.size]
        if device and str(device) != str(model.device):
            raise InputError(f"{spec.size} is in memory on {model.device}, not on {device!r}; move it with "
                             "`model.hf.to(...)`, or leave the device empty")  # fmt: skip
        return model


@checked
def of_model(models: HookedModel | Mapping[str, HookedModel], *, name: str = "own") -> Family:
    """A family of models in memory, by size; one model alone is named after its spec. Nothing is copied.

    `ie.Study(family=ie.families.of_model(model), ...)` runs a study on it, in this process. The dtype of a study has
    to be the model's own.

    Example:
        >>> mine = ie.families.of_model({"small": smaller, "large": model})
        >>> mine.sizes
        ['small', 'large']

    Args:
        models: a model, or several by the names of their sizes.
        name: what to call the family; the name of an earlier family of models replaces that one.

    Raises:
        InputError: no model is given, or two have the same number of parameters.
    """
    held = {models.spec.size: models} if isinstance(models, HookedModel) else dict(models)
    if not held:
        raise InputError("no model is given; give one, or several by the names of their sizes")
    if len({model.n_parameters for model in held.values()}) < len(held):
        raise InputError("two of the models have the same number of parameters, so they are not two sizes; make a "
                         "family of each")  # fmt: skip
    family = MemoryFamily(held, name)
    _HELD[family.name] = family
    return family


def held_family(name: str) -> Family:
    """The family of models in memory with this name, such as `memory:own`.

    Raises:
        UnknownNameError: this process has none of that name.
    """
    if name not in _HELD:
        raise UnknownNameError("family of models in memory", name, _HELD)
    return _HELD[name]
