"""Errors that a user can act on: what was given, what was wanted, what to do next.

The command line prints the message of any `InterpEmergeError` on one line and exits with status 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real


class InterpEmergeError(Exception):
    """Base of every error that this package raises on purpose.

    Example:
        >>> try:
        ...     ie.load_family("miniatur")
        ... except ie.InterpEmergeError as error:
        ...     print(error)  # ... did you mean 'miniature'?
    """


class UnknownNameError(InterpEmergeError):
    """A name that does not exist. The message lists the known names and suggests the nearest."""

    def __init__(self, kind: str, given: object, known: Iterable[object]) -> None:
        names = [text for name in known if (text := str(name))]
        near = get_close_matches(str(given), names, n=1, cutoff=0.5)
        suggestion = f"; did you mean {near[0]!r}?" if near else ""
        quoted = [repr(name) if "," in name else name for name in names]
        shown = ", ".join(quoted[:24]) + (", …" if len(names) > 24 else "")
        super().__init__(f"unknown {kind} {str(given)!r}{suggestion} (known: {shown or 'none'})")


class InputError(InterpEmergeError):
    """Input that an analysis cannot use: prompts, tokens, options, files."""


class ModelError(InterpEmergeError):
    """A model that cannot be loaded or analysed as asked: missing files, bad weights, unsupported structure."""


def described(value: object) -> str:
    """A short description of a value for an error: a text or number as it is, anything else by its type."""
    if value is None or isinstance(value, str | Real):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:37]}..."
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """A name with its article: `a list`, `an array`."""
    return f"{'an' if name[:1].lower() in {*'aeiou'} else 'a'} {name}"


def counted(n: int, what: str) -> str:
    """A number of things: `1 pair`, `2 pairs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def require_kind(value: object, kinds: type | tuple[type, ...], what: str, wanted: str) -> None:
    """Raise an `InputError` unless a value has one of the types; `what` names it, `wanted` says what to give."""
    if not isinstance(value, kinds):
        raise InputError(f"{what} cannot be {described(value)}; give {wanted}")


def require_whole(value: object, what: str, *, least: int | None = None) -> None:
    """Raise an `InputError` unless a value is a whole number, and at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{what} cannot be {described(value)}; give a whole number")
    if least is not None and int(value) < least:
        raise InputError(f"{what} cannot be {int(value)}; give a whole number of at least {least}")


def require_seed(seed: object) -> None:
    """Raise an `InputError` unless a seed is a whole number from 0 on: without a seed no result can be reproduced."""
    require_whole(seed, "seed", least=0)
