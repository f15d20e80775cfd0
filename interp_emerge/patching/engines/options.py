"""Options of patching methods. Each method declares its own options in a frozen dataclass in its file:

    @dataclass(frozen=True, kw_only=True)
    class Options(AtPositions):
        steps: Annotated[int, AtLeast(1), "points of integration"] = 5

A field's name is the keyword of `ie.score`, and its default is used where the keyword is left out. Its annotation gives
the kind of value: a whole number, a number, text, one of a few words (`Literal`), or a list of names. The text in
`Annotated` describes the option. `declared` reads these fields. The keywords of `ie.score` and `ie.estimate`, their
error messages and the options of `interp-emerge score` are made from them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import isfinite
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from interp_emerge.core.arguments import UNIONS, fits, in_words
from interp_emerge.core.errors import InputError, UnknownNameError, described, require_kind, require_whole

Names = tuple[str, ...]


@dataclass(frozen=True)
class AtLeast:
    """The smallest whole number that an option takes."""

    value: int


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of a method that has none, and the base of all others."""

    @property
    def mixes_pairs(self) -> bool:
        """Whether a pair's values depend on other pairs too, so that all pairs have to run together."""
        return False


Sites = Annotated[Names, "kinds of nodes to score, such as head, mlp, q, pattern or resid_pre"]
Positions = Annotated[
    Literal["all"] | Names | None,
    "positions to score one by one: 'all', numbers, or names of positions in the pairs; by default all are patched "
    "together",
]
Direction = Annotated[
    Literal["denoising", "noising"],
    "whether clean values are put into the corrupted run (denoising), or corrupted ones into the clean run (noising)",
]
Steps = Annotated[int, AtLeast(1), "points of integration"]
Seed = Annotated[int, AtLeast(0), "seed of the random draws"]


@dataclass(frozen=True, kw_only=True)
class AtPositions(NoOptions):
    """The options of a method that can score one position at a time."""

    positions: Positions = None


Chosen = TypeVar("Chosen", bound=NoOptions)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a method, read from its field."""

    name: str
    about: str
    """Its description, in one line."""
    default: object
    kinds: tuple[Any, ...]
    """The kinds of value that it accepts, from the field's annotation."""
    least: int | None = None
    """The smallest whole number that it accepts."""

    @property
    def choices(self) -> Names:
        """The words that it accepts; empty for an option without fixed words."""
        return tuple(word for kind in self.kinds if get_origin(kind) is Literal for word in get_args(kind))

    @property
    def is_list(self) -> bool:
        """Whether it accepts a list of names."""
        return Names in self.kinds

    def checked(self, value: Any) -> object:
        """The value in the form that the method reads.

        Raises:
            UnknownNameError: the option accepts a few words, and the value is not one of them.
            InputError: the value is of another kind, or too small.
        """
        if isinstance(value, str) and value in self.choices:
            return value
        if self.is_list:
            require_kind(value, (str, Integral, Iterable), self.name, "one name or a list of names")
            alone = isinstance(value, str) or not isinstance(value, Iterable)
            names = tuple(dict.fromkeys(map(str, [value] if alone else value)))
            if not names:
                raise InputError(f"{self.name} is empty; name at least one, or leave it out")
            return names
        if self.choices:
            raise UnknownNameError(self.name, value, self.choices)
        if int in self.kinds:
            require_whole(value, self.name, least=self.least)
            return int(value)
        if float in self.kinds:
            if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
                raise InputError(f"{self.name} cannot be {described(value)}; give a finite number")
            return float(value)
        if not any(fits(value, kind) for kind in self.kinds):
            raise InputError(f"{self.name} cannot be {described(value)}; give {' or '.join(map(in_words, self.kinds))}")
        return value

    def from_text(self, text: str) -> object:
        """The value of a text from the command line, before `checked`; commas separate names."""
        if self.is_list and text not in self.choices:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if bool in self.kinds and text.lower() in ("true", "false"):
            return text.lower() == "true"
        for number in (int, float):
            if number in self.kinds:
                try:
                    return number(text)
                except ValueError:
                    continue
        return text


@cache
def declared(options: type[NoOptions]) -> Mapping[str, Option]:
    """The options that a dataclass declares, by name, in the order of its fields."""
    annotations = get_type_hints(options, include_extras=True)
    return {field.name: _option(field.name, annotations[field.name], field.default) for field in fields(options)}


def _option(name: str, annotation: Any, default: object) -> Option:
    kind, *more = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    return Option(
        name=name,
        about=next((one for one in more if isinstance(one, str)), ""),
        default=default,
        kinds=get_args(kind) if get_origin(kind) in UNIONS else (kind,),
        least=next((one.value for one in more if isinstance(one, AtLeast)), None),
    )
