"""Errors that a user can act on: what was given, what was wanted, what to do next.

The command line prints the message of any `InterpEmergeError` on one line and exits with status 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class InterpEmergeError(Exception):
    """Base of every error that this package raises on purpose."""


class UnknownNameError(InterpEmergeError):
    """A name that no item carries; the message lists what there is and suggests the nearest."""

    def __init__(self, kind: str, given: object, known: Iterable[object]) -> None:
        names = [str(name) for name in known]
        near = get_close_matches(str(given), names, n=1, cutoff=0.5)
        suggestion = f"; did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names[:24]) + (", …" if len(names) > 24 else "")
        super().__init__(f"unknown {kind} {str(given)!r}{suggestion} (known: {shown or 'none'})")


class InputError(InterpEmergeError):
    """Data that an analysis cannot take: prompts, tokens, options, files."""


class ModelError(InterpEmergeError):
    """A model that cannot be loaded or analysed as asked: missing files, bad weights, unsupported structure."""
