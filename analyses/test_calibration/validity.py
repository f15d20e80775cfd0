"""Whether verdicts and intervals keep what they promise: one simulation for each promise.

python analyses/test_calibration/validity.py                   # prints the tables, 1000 simulations of each case
python analyses/test_calibration/validity.py --only seeds      # those of one module
python analyses/test_calibration/validity.py --keep            # and writes them into docs/validity.md
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from promises import PROMISES
from promises.base import Promise, Rate
from tqdm.auto import tqdm

PAGE = Path(__file__).parents[2] / "docs" / "validity.md"
START = "<!-- measured -->\n"


def main() -> int:
    """Print each promise with its rates. The exit status is 1 if one is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="last part of a module's name")
    parser.add_argument("--simulations", type=int, default=1000, help="of each case")
    parser.add_argument("--keep", action="store_true", help="write docs/validity.md")
    given = parser.parse_args()
    chosen = [promise for promise in PROMISES if promise.module.endswith(given.only)]
    if not chosen:
        parser.error(f"no promise is made by a module {given.only!r}; there are {modules()}")
    if given.keep and given.only:
        parser.error("--keep writes all promises; leave out --only")
    measured = [(one, [*tqdm(one.simulate(given.simulations), desc=one.module, leave=False)]) for one in chosen]
    text = "\n".join(line for promise, rates in measured for line in section(promise, rates))
    print(text)
    if given.keep:
        before, _, _ = PAGE.read_text().partition(START)
        PAGE.write_text(f"{before}{START}\nMeasured on {datetime.now(UTC):%Y-%m-%d}.\n\n{text}\n")
    return int(any(not rate.kept for _, rates in measured for rate in rates))


def modules() -> str:
    return ", ".join(sorted({promise.module.rpartition(".")[2] for promise in PROMISES}))


def section(promise: Promise, rates: list[Rate]) -> Iterator[str]:
    yield from (f"## {promise.says}", "", f"Module `{promise.module}`. Counted: {promise.counted}.", "")
    also = any(rate.seen for rate in rates)
    yield "| case | required | measured | simulations | kept |" + " verdicts |" * also
    yield "|---|---|---|---|---|" + "---|" * also
    for rate in rates:
        kept = "yes" if rate.kept else "**no**"
        row = f"| {rate.case} | {rate.bound} | {rate.interval:.3f} | {rate.simulations} | {kept} |"
        yield row + f" {rate.verdicts} |" * also
    yield ""


if __name__ == "__main__":
    sys.exit(main())
