"""Whether verdicts and intervals keep what they promise: one simulation for each promise.

python analyses/test_calibration/validity.py                   # prints the tables, 1000 simulations of each case
python analyses/test_calibration/validity.py --only seeds      # those of one module, by the end of its name
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
START, HEADING = "<!-- measured -->\n", "## "


def main() -> int:
    """Print each promise with its rates. The exit status is 1 if one is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="last part of a module's name")
    parser.add_argument("--simulations", type=int, default=1000, help="of each case, at most")
    parser.add_argument("--keep", action="store_true", help="write the sections that were measured into the page")
    given = parser.parse_args()
    chosen = [promise for promise in PROMISES if promise.module.endswith(given.only)]
    if not chosen:
        parser.error(f"no promise is made by a module {given.only!r}; there are {modules()}")
    broken = False
    for promise in chosen:
        rates = [*tqdm(promise.simulate(given.simulations), desc=promise.module, leave=False)]
        text = "\n".join(section(promise, rates))
        print(text)
        broken |= any(not rate.kept for rate in rates)
        if given.keep:
            keep(promise, text)
    return int(broken)


def modules() -> str:
    return ", ".join(sorted({promise.module.rpartition(".")[2] for promise in PROMISES}))


def section(promise: Promise, rates: list[Rate]) -> Iterator[str]:
    yield from (f"{HEADING}{promise.says}", "")
    yield f"Module `{promise.module}`. Counted: {promise.counted}. Measured on {datetime.now(UTC):%Y-%m-%d}."
    yield ""
    also = any(rate.seen for rate in rates)
    yield "| case | required | measured | simulations | kept |" + " verdicts |" * also
    yield "|---|---|---|---|---|" + "---|" * also
    for rate in rates:
        kept = "yes" if rate.kept else "**no**"
        row = f"| {rate.case} | {rate.bound} | {rate.interval:.3f} | {rate.simulations} | {kept} |"
        yield row + f" {rate.verdicts} |" * also
    yield ""


def keep(promise: Promise, text: str) -> None:
    """Write a section into the page in place of the promise's earlier one. Sections of promises that are gone go."""
    before, _, rest = PAGE.read_text().partition(START)
    sections = {found.partition("\n")[0]: found.rstrip() for found in rest.split(f"\n{HEADING}")[1:]}
    sections[promise.says] = text.removeprefix(HEADING).rstrip()
    ordered = [f"\n{HEADING}{sections[one.says]}\n" for one in PROMISES if one.says in sections]
    PAGE.write_text(f"{before}{START}{''.join(ordered)}")


if __name__ == "__main__":
    sys.exit(main())
