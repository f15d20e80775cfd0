"""How numbers are written on the page: one rule for each kind of number, and nowhere a second one.

`number` applies these rules:

- A count or a training step is written in full, with commas: `2,421`.
- A measured value has two decimals: `0.82`. One that would show as 0.00 has two digits instead: `0.00017`.
- A share of counted things is a percentage: `1.2%`.
- A p-value has two digits, or two decimals: `0.045`, `0.005`, `1.00`.

An interval has square brackets, and its ends have as many decimals as the value: `0.82 [0.78, 0.86]`. `in_text` brings
numbers in sentences that come from tables into the same form.
"""

import math
import re
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pandas as pd

from interp_emerge.stats.intervals import UNDEFINED, Interval

DECIMALS = 2
MOST_DECIMALS = 12
"""A value that needs more decimals than this to show as anything is written as 0.00."""
MINUS = "−"
SCIENTIFIC = re.compile(r"(?<![\w.])\d+(?:\.\d+)?e[+-]?\d+\b")
P_VALUE = re.compile(r"\bp = (\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b")
NEGATIVE = re.compile(r"(?<![\w.\])])-(?=\d)")
LARGE = re.compile(r"(?<![\w.,/#-])\d{4,}(?![\w%/]|\.\d|-\w)")


class Kind(StrEnum):
    """What a number is, which decides how it is written."""

    COUNT = "count"
    MEASURE = "measure"
    SHARE = "share"
    P_VALUE = "p-value"


def is_missing(value: Any) -> bool:
    """Whether a table's value is missing: None, NaN, pandas' own mark or an empty text."""
    return value is None or value is pd.NA or bool(value != value) or (isinstance(value, str) and not value)


def kind_of(column: str) -> Kind:
    """The kind of the numbers in a table's column, by its name."""
    if column.startswith("n_") or column in ("step", "seed", "last_without", "first_with", "before", "after"):
        return Kind.COUNT
    if column.startswith(("p_value", "q_value")):
        return Kind.P_VALUE
    return Kind.SHARE if column == "edge_share" else Kind.MEASURE


def number(value: Any, kind: Kind = Kind.MEASURE) -> str:
    """A number as the page writes one of its kind, or `undefined` for a missing one."""
    if is_missing(value):
        return UNDEFINED
    value = float(value)
    if math.isinf(value):
        return _infinite(value)
    match kind:
        case Kind.COUNT:
            return _signed(f"{value:,.0f}")
        case Kind.SHARE:
            return _signed(f"{100 * value:.1f}%")
        case Kind.P_VALUE:
            whole, _, rest = _with_decimals(value, _decimals_of_two_digits(value)).partition(".")
            return f"{whole}.{rest.rstrip('0').ljust(DECIMALS, '0')}"
        case _:
            return _with_decimals(value, decimals(value))


def between(interval: Interval) -> str:
    """A value with its 95% interval: `0.82 [0.78, 0.86]`, `0.82 [undefined]` without ends, or `undefined`."""
    if is_missing(interval.value):
        return UNDEFINED
    ends = interval.low, interval.high
    n = decimals(interval.value, *ends)
    if any(map(is_missing, ends)):
        return f"{_with_decimals(interval.value, n)} [{UNDEFINED}]"
    return f"{_with_decimals(interval.value, n)} [{', '.join(_with_decimals(end, n) for end in ends)}]"


def step(value: Any) -> str:
    """A training step, or a size by its name; `never` if there is none."""
    if is_missing(value):
        return "never"
    text = str(value)
    return number(float(text), Kind.COUNT) if re.fullmatch(r"\d+(\.0+)?", text) else text


def decimals(*values: float) -> int:
    """Decimals of a measured value and of the ends of its interval: more than two if all of them would show as zero."""
    largest = max((abs(value) for value in values if value == value), default=0.0)
    if largest >= 0.5 * 10**-DECIMALS or largest < 10**-MOST_DECIMALS:
        return DECIMALS
    return _decimals_of_two_digits(largest)


def in_text(text: str) -> str:
    """A sentence with its numbers in the page's form; names, and numbers that are part of them, stay as they are."""
    text = P_VALUE.sub(lambda found: f"p = {number(float(found[1]), Kind.P_VALUE)}", text)
    text = SCIENTIFIC.sub(lambda found: number(float(found[0]), Kind.P_VALUE), text)
    text = NEGATIVE.sub(MINUS, text)
    return LARGE.sub(lambda found: number(int(found[0]), Kind.COUNT), text)


def _decimals_of_two_digits(value: float) -> int:
    """Decimals with which a value has two digits that are not zero in front; at least two."""
    if not abs(value) >= 10**-MOST_DECIMALS:
        return DECIMALS
    return max(DECIMALS, 1 - Decimal(f"{abs(value):.1e}").adjusted())


def _with_decimals(value: float, n: int) -> str:
    return _infinite(value) if math.isinf(value) else _signed(f"{value:,.{n}f}")


def _infinite(value: float) -> str:
    return "infinite" if value > 0 else f"{MINUS}infinite"


def _signed(text: str) -> str:
    """The text with a real minus sign, and none in front of zero."""
    bare = text.lstrip("-")
    return text if bare == text else bare if not bare.strip("0.,%") else MINUS + bare
