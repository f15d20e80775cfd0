"""An ability whose prompt pairs stand in a file."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.abilities.base import WITHOUT_TOKENIZER, Ability, Split
from interp_emerge.abilities.own.file import FileContent, FileRow, read_file
from interp_emerge.abilities.own.rows import Pair, fields_of_rows
from interp_emerge.abilities.own.splitting import alike_by_template, share_of_rows
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION, REPEATED
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError, counted
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

log = logging.getLogger(__name__)
DRAWS = 1000
"""Seeds of one use of prompts: see `prompts.DISCOVERY`."""
PARTS = ("discovery", "evaluation")


class FileSource(Source):
    """A source that is one text, or the file's name."""

    def __str__(self) -> str:
        return self.authors


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FileAbility(Ability):
    """The ability that a file of prompt pairs describes.

    Rows are drawn without replacement. Half of them, or those that the column `split` says, are for finding circuits,
    and the others for judging them; rows with the same clean prompt are in the same half. `chance` is NaN, undefined,
    unless the file gives it.
    """

    path: Path
    content: FileContent
    _usable: dict[tuple[str, int | None, int], dict[int, str]] = field(default_factory=dict, repr=False)
    """By what decides it, as `_decides` says, why a model cannot be given a row, for each row that it cannot."""

    @property
    def key(self) -> str:
        """The name with a hash of the file's content: another one after each change of the file."""
        return f"{self.name}@{self.content.digest}"

    @checked
    def sample(
        self,
        model: HookedModel,
        n: int = 64,
        seed: int = 0,
        *,
        corruption: str = "",
        templates: Sequence[str] = (),
        split: Split = "",
        variation: str = "",
    ) -> PromptPairs:
        """`n` different rows of the file, as pairs for this model's tokenizer; the same arguments give the same pairs.

        Args:
            model: its tokenizer encodes the prompts. Rows that it cannot express are left out, with a warning.
            n: number of pairs.
            seed: of the choice and order of rows. The seeds of studies and commands choose their half, too: those from
                1000 on discovery, those from 2000 on evaluation, and those from 10,000 on further rows of discovery.
            corruption: a file has one corrupted prompt for each clean one, so only empty.
            templates: names of the wordings to use; empty for all.
            split: `discovery` or `evaluation`; empty for the half of the seed, or all rows.
            variation: only empty, as for `corruption`.

        Raises:
            UnknownNameError: no row has a template or split of that name.
            InputError: there are fewer rows than asked for, or no row that the tokenizer can express.
        """
        for name, given in (("corruption", corruption), ("variation", variation)):
            if given:
                raise InputError(f"{self.path} has no {name} {given!r}; add rows with it, and name them in 'template'")
        if n < 1:
            raise InputError(f"{n} pairs were asked for; give at least 1")
        named = (templates,) if isinstance(templates, str) else tuple(templates)
        if model.tokenizer is None:
            raise InputError(f"{self.path} holds text, and {model.spec} has no tokenizer; "
                             f"{WITHOUT_TOKENIZER}")  # fmt: skip
        part, block, draw = _use_of(seed)
        part = split or part
        if part not in ("", *PARTS):
            raise UnknownNameError("split", part, PARTS)
        usable = self._rows(part, named)
        left_out = self.failures(model)
        rows = [row for row in usable if row not in left_out]
        if len(rows) < n * (block + 1):
            raise InputError(self._too_few(n, block, part, len(usable), len(rows), model))
        if left_out and _decides(model) not in _WARNED.setdefault(self.key, set()):
            _WARNED[self.key].add(_decides(model))
            log.warning("%s of %d in %s left out: the tokenizer of %s cannot express them; `interp-emerge ability "
                        "check` says why", counted(len(left_out), "row"), len(self.content.rows), self.path,
                        model.spec)  # fmt: skip
        order = np.random.default_rng([draw, 0]).permutation(len(usable))
        drawn = [usable[place] for place in order if usable[place] not in left_out]
        pairs = self._pairs(model, drawn[n * block : n * (block + 1)])
        require_pairs(model, pairs)
        return pairs

    def n_rows(self, seed: int = 0, model: HookedModel | None = None) -> int:
        """How many rows `sample` can draw from with this seed, for this model's tokenizer if it is given."""
        left_out = {} if model is None else self.failures(model)
        return sum(row not in left_out for row in self._rows(_use_of(seed)[0], ()))

    def failures(self, model: HookedModel) -> dict[int, str]:
        """By index of the row, why the model's tokenizer cannot express it; empty if it can express all."""
        known = self._usable.get(_decides(model))
        if known is None or not model.vocabulary:
            known = {}
            rows = tqdm(self.content.rows, desc=f"rows of {self.path.name}", unit="row", delay=2, leave=False)
            for index, row in enumerate(rows):
                if why := _failure(model, row):
                    known[index] = why
            self._usable[_decides(model)] = known
        return known

    def _pairs(self, model: HookedModel, rows: Sequence[int]) -> PromptPairs:
        chosen = [pair_of(self.content.rows[row]) for row in rows]
        return PromptPairs(**fields_of_rows(chosen, model), labels=self._labels, ability=self.key)

    @property
    def _labels(self) -> dict[str, tuple[str, ...]]:
        """The labels in the whole file, so that every sample has the same indices."""
        rows = self.content.rows
        texts = [name for name, value in rows[0].variables.items() if isinstance(value, str)]
        return {name: tuple(sorted({str(row.variables[name]) for row in rows})) for name in texts}

    def _rows(self, part: str, templates: tuple[str, ...]) -> list[int]:
        known = {row.template for row in self.content.rows}
        for name in templates:
            if name not in known:
                raise UnknownNameError(f"template of {self.name}", name, sorted(known))
        chosen = range(len(self.content.rows)) if not part else self._half(part)
        return [row for row in chosen if not templates or self.content.rows[row].template in templates]

    def _half(self, part: str) -> list[int]:
        rows = self.content.rows
        if rows[0].split:
            chosen = [row for row, of in enumerate(rows) if of.split == part]
            other = {of.clean for of in rows if of.split != part}
            if shared := [row for row in chosen if rows[row].clean in other]:
                raise InputError(f"{self.path}, line {self.content.lines[shared[0]]}: the clean prompt is in discovery "
                                 "and in evaluation; a circuit has to be judged on other prompts")  # fmt: skip
            return chosen
        # The halves do not depend on a seed: whatever is found on one of them can be judged on the other.
        by_template = alike_by_template([row.clean for row in rows], [row.template for row in rows])
        first = {*share_of_rows(by_template, 0.5, 0)}
        return [row for row in range(len(rows)) if (row in first) == (part == "discovery")]

    def _too_few(self, n: int, block: int, part: str, in_part: int, usable: int, model: HookedModel) -> str:
        if not usable and in_part:
            first, why = next(iter(self.failures(model).items()))
            return (
                f"none of the {counted(len(self.content.rows), 'row')} of {self.path} can be expressed by the "
                f"tokenizer of {model.spec}; line {self.content.lines[first]}: {why}"
            )
        where = f"{self.path} has {counted(len(self.content.rows), 'row')}"
        if part:
            where += f", {in_part} of them for {part}"
        if usable < in_part:
            where += f", of which the tokenizer of {model.spec} can express {usable} (`interp-emerge ability check` " \
                     "says why not the others)"  # fmt: skip
        if block:
            return f"{where}; {counted(block + 1, 'set')} of {n} were asked for, so give more rows or ask for fewer"
        return f"{where}; {n} were asked for, and rows are drawn without replacement: ask for at most {usable}"


_WARNED: dict[str, set[tuple[str, int | None, int]]] = {}
"""By key of the ability, the tokenizers and contexts for which a warning about rows was given."""


def _decides(model: HookedModel) -> tuple[str, int | None, int]:
    """What decides whether a model can be given a row: the tokenizer, the context and the number of tokens."""
    return model.vocabulary, model.n_context, model.d_vocab


def ability_from_file(path: Path) -> FileAbility:
    """The ability that a file of prompt pairs describes.

    Raises:
        InputError: the file cannot be read, or a row is bad; the message names its line.
    """
    content = read_file(path)
    header = content.header
    name = header.name or re.sub(r"[^\w .\-]", "_", path.stem).lstrip("-. ")[:64] or "own"
    return FileAbility(
        name=name,
        summary=header.summary or f"{counted(len(content.rows), 'pair')} from a file",
        source=FileSource(authors=header.source or path.name, year=0, url=""),
        chance=float("nan") if header.chance is None else header.chance,
        ceiling=header.ceiling,
        control=header.control,
        draw=_not_drawn,
        templates={row.template: row.clean for row in reversed(content.rows) if row.template},
        positions=tuple(content.rows[0].positions),
        variables=tuple(content.rows[0].variables),
        path=path,
        content=content,
    )


def pair_of(row: FileRow) -> Pair:
    """A row of a file as a row of prompt pairs."""
    return Pair(
        clean=row.clean,
        corrupt=row.corrupt,
        answer=row.answer,
        foil=row.foil,
        template=row.template,
        positions=row.positions,
        variables=row.variables,
    )


def _not_drawn(*_: Any) -> PromptPairs:
    raise AssertionError("a file's rows are chosen by FileAbility.sample")


def _use_of(seed: int) -> tuple[str, int, int]:
    """The half that a seed stands for, the number of the set of prompts in it, and the seed of the order of rows."""
    if seed >= REPEATED:
        return PARTS[0], 1 + (seed - REPEATED) // DRAWS, seed % DRAWS
    for part, start in zip(PARTS, (DISCOVERY, EVALUATION), strict=True):
        if start <= seed < start + DRAWS:
            return part, 0, seed - start
    return "", 0, seed


def _failure(model: HookedModel, row: FileRow) -> str:
    """Why a tokenizer cannot express a row; empty if it can."""
    try:
        require_pairs(model, PromptPairs.from_rows([pair_of(row)], model=model))
    except InputError as error:
        return re.sub(r"\bpair 0\b", "the row", str(error))
    return ""
