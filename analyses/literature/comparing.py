"""What the papers claim, and the table that puts what was measured beside each claim.

python analyses/literature/comparing.py    # the claims, with their numbers and places in the papers; runs no model
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from page import PUBLISHED

import interp_emerge as ie
from interp_emerge.families import Family

VERDICTS = {True: "agrees", False: "does not", None: "cannot be told here"}
PAPERS = ("olsson_2022", "tigges_2024", "wang_2022", "schaeffer_2023", "xu_2026", "dip_2026")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The models to measure, and what to measure them on."""

    family: Family
    sizes: Sequence[str]
    at_most: int
    steps: Sequence[int]
    indirect_object: str
    text: str

    def runs(self) -> Iterator[tuple[str, int]]:
        """Size and seed of every training run."""
        return ((size, seed) for size in self.sizes for seed in self.family.seeds(size))

    def steps_of(self, size: str, seed: int) -> list[int]:
        """The checkpoints of a run that are measured."""
        return [*self.steps] or self.family.spaced_steps(size, seed, at_most=self.at_most)

    def tokens(self, size: str, step: int, seed: int) -> float:
        """Training tokens at a checkpoint; NaN if they are not known."""
        return float(self.family.tokens(size, int(step), seed) or (0 if step == 0 else "nan"))


@dataclass(frozen=True)
class Answer:
    """What was measured for one claim, whether it holds (None if that cannot be told), and the rule or the reason."""

    claim: str
    ours: str
    holds: bool | None
    why: str = ""


Compared = tuple[list[Answer], pd.DataFrame]  # and curves over training to draw


def told(yes: bool, no: bool) -> bool | None:
    return True if yes else False if no else None


def published(paper: str) -> pd.DataFrame:
    """The claims of a paper: columns `paper`, `claim`, `says`, `number`, `where`."""
    return pd.read_csv(PUBLISHED).set_index("claim", drop=False).pipe(lambda all_: all_[all_["paper"] == paper])


def asked(*, papers: bool = False) -> tuple[Asked, argparse.Namespace]:
    """What the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("family", nargs="?", default="miniature", help="a name, or a directory of checkpoints")
    parser.add_argument("--sizes", nargs="+", default=[], help="by default all")
    parser.add_argument("--steps", nargs="+", type=int, default=[], help="by default evenly spaced in log step")
    parser.add_argument("--at-most", type=int, default=12, help="number of checkpoints of each run without --steps")
    parser.add_argument("--indirect-object", default="", help="ability; by default ioi, or that of the bundled family")
    parser.add_argument("--text", default="", help="a text file to measure the loss on; by default the family's text")
    if papers:
        parser.add_argument("--papers", nargs="+", default=PAPERS, choices=PAPERS)
        parser.add_argument("--keep", action="store_true", help="write measured.csv, docs/literature.md and figures")
    given = parser.parse_args()
    family = ie.load_family(given.family)
    named = given.indirect_object or ("indirect_object" if family.name == "miniature" else "ioi")
    about = {"at_most": given.at_most, "steps": given.steps, "indirect_object": named, "text": given.text}
    return Asked(family=family, sizes=given.sizes or family.sizes, **about), given


def beside(paper: str, answers: Sequence[Answer]) -> pd.DataFrame:
    """The answers beside their claims: the columns of `published`, then `ours`, `verdict` and `why`."""
    found = {"ours": [one.ours for one in answers], "verdict": [VERDICTS[one.holds] for one in answers]}
    table = published(paper).loc[[one.claim for one in answers]].reset_index(drop=True)
    return table.assign(**found, why=[one.why for one in answers])


def show(paper: str, compare: Callable[[Asked], Compared]) -> None:
    """Compare as the command line asks for, and print one paragraph for each claim."""
    for row in beside(paper, compare(asked()[0])[0]).to_dict("records"):
        print("{says}\n  paper: {number} ({where})\n  here: {ours}\n  {verdict} ({why})\n".format_map(row))


if __name__ == "__main__":
    print(pd.read_csv(PUBLISHED).to_string(index=False))
