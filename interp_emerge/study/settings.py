"""What a study asks: the fields of a study file, of `Study(...)` and of `interp-emerge run`."""

from shlex import quote
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interp_emerge.core.errors import InputError, UnknownNameError


class StudySettings(BaseModel):
    """A study's settings, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = Field("miniature", description="name of a family, or a directory of checkpoints")
    ability: str = Field("induction", description="the ability in question")
    beside: tuple[str, ...] = Field(
        ("markov", "indirect_object", "modular_addition", "fact_recall", "two_hop"),
        description="abilities and controls to measure beside it",
    )
    method: str = Field("eap_ig", description="edge scoring method")
    metric: str = Field("logit_diff", description="metric of scores and faithfulness")
    sizes: tuple[str, ...] = Field((), description="sizes of the family; empty means all")
    steps: tuple[int, ...] | Literal["spaced", "last"] = Field(
        "spaced", description="training steps; 'spaced' means up to twelve, evenly over their logarithm; or 'last'"
    )
    seeds: tuple[int, ...] = Field((), description="seeds of the training runs; empty means all")
    axis: Literal["parameters", "tokens", "flops", "loss"] = Field(
        "parameters", description="axis of scale of jumps, trends and figures: parameters, tokens, flops or loss"
    )
    out: str = Field("", description="directory of the results; empty means runs/FAMILY-ABILITY")
    seed: int = Field(0, ge=0, description="seed of prompts, random circuits and bootstrap")
    n_measured: int = Field(128, ge=2, description="prompts on which abilities are measured")
    n_pairs: int = Field(64, ge=2, description="prompt pairs on which circuits are found, and on which they are judged")
    n_random: int = Field(100, ge=1, description="random circuits beside each circuit")
    n_resamples: int = Field(100, ge=2, description="bootstrap samples of the pairs that circuits are found on")
    n_ablations: int = Field(20, ge=1, description="draws of random heads to ablate; equal ones count once")
    steps_of_integration: int = Field(5, ge=1, description="points of integrated gradients")
    target: float = Field(0.8, gt=0, le=1, description="faithfulness at which a circuit is large enough")
    device: str = Field("", description="where models run; empty means a GPU if there is one")
    threads: int = Field(
        0, ge=0, description="CPU threads of models with ten million parameters or more; 0: all; may change last bits"
    )
    dtype: str = Field("float32", description="float32, bfloat16 or float16")
    prepend_bos: bool | int | str | None = Field(
        None,
        description="what stands first in every prompt: true (the beginning-of-text token), false (nothing), a token "
        "or its id; empty means what the models were trained with, where known, else what the tokenizer puts there",
    )

    @property
    def command(self) -> str:
        """The shell command that runs a study with these settings."""
        words = ["interp-emerge", "run"]
        for name, value in self.model_dump(mode="json", exclude_defaults=True).items():
            text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
            words += [f"--{name.replace('_', '-')}", quote(text)]
        return " ".join(words)


def settings_from(fields: dict[str, Any], where: str) -> StudySettings:
    """Checked settings.

    Raises:
        UnknownNameError: a field that studies do not know.
        InputError: a value of the wrong kind, named on one line.
    """
    unknown = [name for name in fields if name not in StudySettings.model_fields]
    if unknown:
        raise UnknownNameError(f"setting in {where}", unknown[0], StudySettings.model_fields)
    try:
        return StudySettings(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = str(first["loc"][0]) if first["loc"] else "settings"
        raise InputError(f"{where}: {place} = {fields.get(place)!r} is not valid ({first['msg']})") from error
