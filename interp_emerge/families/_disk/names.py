"""Read a checkpoint's size, seed, training step and number of training tokens from the names of its folders.

Trainers name checkpoints in their own ways. These names are understood, in upper or lower case, with `-`, `_`, `=` or
nothing before a number: `step1000`, `checkpoint-1000` and `ckpt-1000`, `global_step1000`, `iter_0001000`, `ba1000`,
`1000`, `step10k`. The same name may also hold `stage1`, `ep0`, `tokens4B` and `seed1`, and may begin with a size, as in
`pythia-14m-seed1-step1000`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

NUMBER = r"\d+(?:\.\d+)?"
STEP_WORDS = r"(?:global[-_]?step|steps?|checkpoint|ckpt|iteration|iter|ba)"
PART_OF_A_NAME = re.compile(
    rf"""(?P<stage>(?:stage|phase|ingredient)[-_=]?\d+)
    | (?:epoch|ep)[-_=]?(?P<epoch>{NUMBER})
    | seed[-_=]?(?P<seed>\d+)
    | {STEP_WORDS}[-_=]?(?P<step>\d+k?)
    | tokens?[-_=]?(?P<tokens>{NUMBER}[kmbt]?)
    | (?P<tokens_first>{NUMBER}[kmbt]?)[-_]?tok(?:en)?s?
    | (?P<rank>rank[-_=]?\d+)""",
    re.IGNORECASE | re.VERBOSE,
)
BEFORE_A_STEP = re.compile(r"(?:checkpoint|ckpt|model)[-_](?=[a-z])", re.IGNORECASE)
"""A word in front of a step, as in `checkpoint-step-1000`."""
LOOKS_LIKE_A_STEP = re.compile(rf"(?:{STEP_WORDS}|epoch|ep)[-_=]?\d", re.IGNORECASE)
FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
WANTED = "name it SIZE/stepN or SIZE/seedK/stepN"


@dataclass(frozen=True, kw_only=True)
class Named:
    """What the folder names of a checkpoint give; a field that they do not give is None or empty.

    `tokens` counts tokens since training began, as precisely as the name gives it (4B is 4 000 000 000).
    """

    size: str = ""
    seed: int | None = None
    step: int | None = None
    tokens: int | None = None
    epoch: Fraction | None = None
    stage: str = ""


def read_names(parts: Sequence[str]) -> Named:
    """What the names of the folders from a family's directory down to a checkpoint give.

    Raises:
        ValueError: they name a size, seed or step twice, or one begins like a step but cannot be read as one. The
            message lacks its subject, the folder, which the caller puts in front.
    """
    sizes, found = [], []
    for part in parts:
        size, fields = _split(part)
        if not fields and LOOKS_LIKE_A_STEP.match(part):
            raise ValueError(f"is named like a training step, but {part!r} cannot be read as one; {WANTED}")
        found += fields
        sizes += [size] if size and size not in sizes else []
    numbers = [name for name in sizes if name.isdecimal()]
    if numbers and "step" not in {name for name, _ in found}:
        found.append(("step", numbers[-1]))
        sizes.remove(numbers[-1])
    if len(sizes) > 1:
        raise ValueError(f"could be of size {sizes[0]!r} or {sizes[1]!r}; {WANTED}")
    values = dict(found)
    if len(values) < len(found):
        raise ValueError(f"names {_twice([name for name, _ in found])} twice; {WANTED}")
    return Named(
        size=sizes[0] if sizes else "",
        seed=int(values["seed"]) if "seed" in values else None,
        step=_count(values["step"]) if "step" in values else None,
        tokens=_count(values["tokens"]) if "tokens" in values else None,
        epoch=Fraction(values["epoch"]) if "epoch" in values else None,
        stage=values.get("stage", "").lower(),
    )


def _split(name: str) -> tuple[str, list[tuple[str, str]]]:
    """The size at the start of a name, and the fields after it; a name without fields is all size."""
    starts = [0, *(match.end() for match in re.finditer(r"[-_.]", name))]
    for start in starts:
        if fields := _fields(name[start:]):
            return name[: max(0, start - 1)], fields
    return name, []


def _fields(text: str) -> list[tuple[str, str]]:
    """The fields of a text that consists only of fields; empty if it holds anything else, or only a stage."""
    position = before.end() if (before := BEFORE_A_STEP.match(text)) else 0
    found: list[tuple[str, str]] = []
    while match := PART_OF_A_NAME.match(text, position):
        found += [(name.removesuffix("_first"), value) for name, value in match.groupdict().items() if value]
        position = match.end()
        if position == len(text):
            return _joined(found)
        if text[position] not in "-_.":
            return []
        position += 1
    return []


def _joined(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Fields without the rank of a process, with all stages joined into one; empty if there are no other fields."""
    stages = [value for name, value in found if name == "stage"]
    others = [(name, value) for name, value in found if name not in ("stage", "rank")]
    return [*others, ("stage", "-".join(stages))] if others and stages else others


def _count(text: str) -> int:
    digits = text.rstrip("kmbtKMBT")
    return int(Fraction(digits) * FACTORS[text[len(digits) :].lower()])


def _twice(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)
