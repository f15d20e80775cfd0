"""The settings of a study: fields of a study file, arguments of `Study(...)`, options of `interp-emerge run`."""

from shlex import quote
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interp_emerge.abilities import is_file_name
from interp_emerge.core.errors import InputError, UnknownNameError

QUICK: dict[str, Any] = {
    "n_measured": 32,
    "n_pairs": 8,
    "n_random": 38,
    "n_resamples": 20,
    "n_ablations": 5,
    "n_probed": 0,
    "steps_of_integration": 3,
    "local_search": False,
}
"""The settings of a quick study, as far as they are not given. Of each kind of random circuits there are 19 or more,
the fewest of which a 95th percentile can be taken."""

FEWEST_PROBED = 20
"""The fewest pairs that can be probed: directions are found on one half and judged on the other."""

FLAGS = ("local_search", "quick", "evict_cached")
"""Settings that the command takes as options without a value."""


class StudySettings(BaseModel):
    """A study's settings, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = Field("miniature", description="name of a family, or a directory of checkpoints")
    ability: str = Field(
        "induction", description="the ability in question: a name, or a .jsonl or .csv file of prompt pairs"
    )
    beside: tuple[str, ...] = Field(
        ("markov", "indirect_object", "modular_addition", "fact_recall", "two_hop"),
        description="other abilities and controls to measure for comparison, separated by commas, or '' for none; none "
        "by default in another family than miniature, and for an ability from a file",
    )
    chance: float | None = Field(
        None, ge=0, lt=1, description="accuracy of a guess, for an ability from a file that does not give it"
    )
    method: str = Field("eap_ig", description="edge scoring method")
    metric: str = Field("logit_diff", description="metric of scores and faithfulness")
    sizes: tuple[str, ...] = Field((), description="sizes of the family; empty means all")
    steps: tuple[int | Literal["last"], ...] | Literal["spaced", "last"] = Field(
        "spaced",
        description="training steps, of which one may be 'last'; 'spaced' means up to twelve, evenly over their "
        "logarithm",
    )
    seeds: tuple[int, ...] = Field((), description="seeds of the training runs; empty means all")
    axis: Literal["parameters", "tokens", "flops", "loss"] = Field(
        "parameters", description="axis of scale of jumps, trends and figures: parameters, tokens, flops or loss"
    )
    out: str = Field("", description="directory of the results; empty means runs/FAMILY-ABILITY")
    seed: int = Field(0, ge=0, description="seed of prompts, random circuits and bootstrap")
    n_measured: int = Field(128, ge=2, description="prompts on which abilities are measured")
    n_pairs: int = Field(
        64, ge=2, description="prompt pairs to find circuits on, and as many others to evaluate them on"
    )
    n_random: int = Field(100, ge=1, description="random circuits to compare each circuit with, of all kinds together")
    n_resamples: int = Field(
        100,
        ge=2,
        description="divisions of the prompts into halves, and simulated sets, for the stability of a circuit",
    )
    n_ablations: int = Field(20, ge=1, description="draws of random heads to ablate; equal draws count once")
    n_probed: int | None = Field(
        None,
        description="prompt pairs to probe the ability's variables on; 0 means that nothing is probed; empty means "
        "128, and nothing in models of ten million parameters or more",
    )
    probe: str = Field("mass_mean", description="probe that decodes the ability's variables")
    intervention: str = Field("interchange", description="change that shows whether a decoded variable is used")
    probed_layers: int = Field(8, ge=1, description="the most layers to probe, evenly over depth")
    steps_of_integration: int = Field(5, ge=1, description="points of integrated gradients")
    local_search: bool = Field(
        True, description="whether to leave out edges of a circuit that it does not need, one by one"
    )
    quick: bool = Field(
        False,
        description="fewer prompts and random circuits and no local search, unless given: "
        + ", ".join(f"{name.replace('_', '-')} {value}" for name, value in QUICK.items()).lower(),
    )
    target: float = Field(0.8, gt=0, le=1, description="faithfulness at which a circuit is large enough")
    device: str = Field("", description="where models run; empty means a GPU if there is one")
    threads: int = Field(
        0,
        ge=0,
        description="CPU threads for models of ten million parameters or more; 0 means all; may change last bits",
    )
    dtype: str = Field("float32", description="float32, bfloat16 or float16")
    prepend_bos: bool | int | str | None = Field(
        None,
        description="first token of every prompt: true (the beginning-of-text token), false (none), a token or its id; "
        "empty means the one the models were trained with if known, else the one that the tokenizer adds",
    )

    disk_budget: str = Field(
        "",
        description="most disk that downloaded checkpoints may take, such as 20GB; the least recently used are "
        "removed; empty means that all are kept",
    )
    evict_cached: bool = Field(
        False, description="whether the disk budget may also remove checkpoints that were in the cache before"
    )

    @model_validator(mode="before")
    @classmethod
    def _quick(cls, fields: Any) -> Any:
        """The settings with those of a quick study where none are given, if it is to be quick."""
        return {**QUICK, **fields} if isinstance(fields, dict) and fields.get("quick") is True else fields

    @field_validator("n_probed")
    @classmethod
    def _enough_pairs(cls, n: int | None) -> int | None:
        if n is not None and n != 0 and n < FEWEST_PROBED:
            raise ValueError(f"give 0, or at least {FEWEST_PROBED}")
        return n

    @property
    def usually_beside(self) -> tuple[str, ...]:
        """What is measured beside the ability in question unless something else is asked for.

        The default is made of abilities of the miniature language, which mean nothing in other families and texts.
        """
        own = self.family == StudySettings.model_fields["family"].default and not is_file_name(self.ability)
        return StudySettings.model_fields["beside"].default if own else ()

    @property
    def command(self) -> str:
        """The shell command that runs a study with these settings."""
        words = ["interp-emerge", "run"]
        unless_given = self.model_validate({"quick": self.quick}).model_dump(mode="json") | {"quick": False}
        unless_given["beside"] = [*self.usually_beside]
        for name, value in self.model_dump(mode="json").items():
            if value == unless_given[name]:
                continue
            option = name.replace("_", "-")
            if isinstance(value, bool) and name in FLAGS:
                words.append(f"--{option}" if value else f"--no-{option}")
                continue
            text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
            words += [f"--{option}", quote(text)]
        return " ".join(words)


def settings_from(fields: dict[str, Any], where: str) -> StudySettings:
    """The settings, checked.

    Raises:
        UnknownNameError: a study has no such field.
        InputError: a value is not allowed; the message names it on one line.
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
