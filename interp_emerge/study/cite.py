"""BibTeX for what a result used: its method, ability, family, roles and tests, by the sources that these record.

A result knows how it was made: scores, circuits and probes have an `origin`, tables have columns, a study has settings.
Nothing is cited that a result does not name, and what it names but has no published source is a comment.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp_emerge.abilities import shelf as abilities
from interp_emerge.abilities.base import Ability
from interp_emerge.circuits.finding.find import FoundCircuit
from interp_emerge.circuits.roles import shelf as roles
from interp_emerge.circuits.roles.base import Role
from interp_emerge.circuits.testing.examination import Examination
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, described
from interp_emerge.core.registry import Shelf
from interp_emerge.core.source import Source
from interp_emerge.families import shelf as families
from interp_emerge.families.base import Family
from interp_emerge.patching import shelf as methods
from interp_emerge.patching.base import Method
from interp_emerge.patching.scores import EdgeScores, NodeScores
from interp_emerge.probing import shelf as probes
from interp_emerge.probing.base import Probe
from interp_emerge.probing.lensing import LensScores
from interp_emerge.probing.scores import ProbeScores
from interp_emerge.probing.using import UseScores
from interp_emerge.study.study import Study
from interp_emerge.study.works import ARXIV, TESTS, TITLES

Used = tuple[str, Source | None]
"""What was used, in words, and where it comes from; None if that is not known."""
SHELVES: dict[str, tuple[Shelf[Any], ...]] = {
    "family": (families,),
    "ability": (abilities,),
    "method": (methods, probes),
    "role": (roles,),
}
ITEMS = {Ability: "ability", Family: "family", Method: "method", Probe: "method", Role: "role"}
OWN = "interp_emerge authors"
MADE_BY_HAND = "an item of this package, a study, a table of a study, scores, a circuit, an examination or probes"


@dataclass(frozen=True, kw_only=True)
class Bibliography:
    """What was used; as text it is BibTeX, with a comment for what has no published source."""

    used: tuple[Used, ...]

    @property
    def urls(self) -> list[str]:
        """Addresses of the works, in the order in which they are cited."""
        return [*self._works()]

    def _works(self) -> dict[str, tuple[Source, list[str]]]:
        found: dict[str, tuple[Source, list[str]]] = {}
        for what, source in self.used:
            if source is not None and is_published(source):
                found.setdefault(source.url, (source, []))[1].append(what)
        return found

    def __str__(self) -> str:
        entries = [_of_this_package()]
        entries += [_entry(source, [*dict.fromkeys(what)]) for source, what in self._works().values()]
        unpublished = {what: source for what, source in self.used if source is None or not is_published(source)}
        notes = [
            f"% {what}: {'its source is not recorded; cite it yourself' if source is None else source.authors}"
            for what, source in unpublished.items()
            if source is None or source.authors != OWN
        ]
        return "\n\n".join([*entries, *notes])

    def __repr__(self) -> str:
        return str(self)


def cite(*results: Any) -> Bibliography:
    """BibTeX for this package and for exactly what the results used: methods, abilities, families, roles and tests.

    It shows itself; `print(ie.cite(scores, circuit), file=...)` writes it.

    Example:
        >>> ie.cite(scores).urls  # print(ie.cite(scores)) gives the entries
        ['https://arxiv.org/abs/2209.11895', 'https://arxiv.org/abs/2403.17806']

    Args:
        results: scores of nodes or edges, circuits, examinations, probes, studies, tables that name what is in them,
            abilities, families, methods, roles.

    Raises:
        InputError: a result does not say how it was made, or there is none.
    """
    if not results:
        raise InputError(f"there is nothing to cite; give {MADE_BY_HAND}")
    return Bibliography(used=tuple(dict.fromkeys(one for result in results for one in used_by(result))))


def used_by(result: Any) -> Iterator[Used]:
    """What a result used.

    Raises:
        InputError: it does not say how it was made.
    """
    if isinstance(result, NodeScores | EdgeScores | Circuit | ProbeScores | LensScores | UseScores) and result.origin:
        yield from _of_origin(result.origin)
    elif isinstance(result, FoundCircuit):
        yield from _of_origin(result.circuit.origin)
    elif isinstance(result, Examination):
        yield from used_by(result.circuit)
        for name, table in result.tables.items():
            yield from ((f"test {name}", source) for source in TESTS.get(name, ()))
            yield from _of_columns(table, ("role",))
    elif isinstance(result, Study):
        yield f"family {result.family.name}", result.family.source
        yield from ((f"ability {one.name}", one.source) for one in (result.ability, *result.beside))
        yield from _named("method", result.settings.method)
        if result.report.exists():
            yield from _of_columns(result.table("roles"), ("role",))
    elif isinstance(result, pd.DataFrame) and {*SHELVES} & {*result.columns}:
        yield from _of_columns(result, tuple(SHELVES))
    elif isinstance(result, Ability | Family | Method | Probe | Role):
        kind = next(kind for one, kind in ITEMS.items() if isinstance(result, one))
        yield f"{kind} {result.name}", result.source
    else:
        raise InputError(
            f"{described(result)} does not say what it was made with; give what it was made from: {MADE_BY_HAND}"
        )


def is_published(source: Source) -> bool:
    return source.url.startswith("http") and source.year > 0


def _of_origin(origin: Mapping[str, Any]) -> Iterator[Used]:
    for part in origin.get("of", ()):  # a circuit that was joined from others
        yield from _of_origin(part)
    if family := (origin.get("model") or {}).get("family"):
        yield from _named("family", str(family))
    for kind in ("ability", "method"):
        if name := origin.get(kind):
            yield from _named(kind, str(name))


def _of_columns(table: pd.DataFrame, kinds: tuple[str, ...]) -> Iterator[Used]:
    for kind in kinds:
        if kind in table.columns:
            for name in table[kind].dropna().unique():
                yield from _named(kind, str(name))


def _named(kind: str, name: str) -> Iterator[Used]:
    sources = [shelf[name].source for shelf in SHELVES[kind] if name in shelf.names()]
    yield f"{kind} {name}", sources[0] if sources else None


def _of_this_package() -> str:
    from importlib.metadata import version

    fields = {"author": f"{{{OWN}}}", "title": "{interp_emerge}", "version": version("interp-emerge")}
    return _written("software", "interp_emerge", fields | {"note": "the package that made these results"})


def _entry(source: Source, used_as: list[str]) -> str:
    authors = source.authors.rpartition(": ")[2]
    title = TITLES.get(source.url, "")
    fields = {
        "author": authors.replace(" et al.", " and others") if _are_people(authors) else f"{{{authors}}}",
        "title": f"{{{title}}}" if title else "",
        "year": str(source.year),
        **({"eprint": source.url.removeprefix(ARXIV), "archiveprefix": "arXiv"} if ARXIV in source.url else {}),
        "url": source.url,
        "note": "used here as: " + ", ".join(used_as),
    }
    surname = re.sub(r"\W", "", authors.split(" and ")[0].removesuffix(" et al.").split()[-1]).lower()
    first = next((word for word in re.findall(r"\w{4,}", title.lower()) if word.isascii()), "")
    return _written("misc", f"{surname}{source.year}{first}", {name: text for name, text in fields.items() if text})


def _are_people(authors: str) -> bool:
    return not authors.lower().endswith("team") and authors != OWN


def _written(kind: str, key: str, fields: Mapping[str, str]) -> str:
    escaped = {
        name: text if name in ("url", "eprint") else re.sub(r"([&%#_])", r"\\\1", text) for name, text in fields.items()
    }
    lines = [f"  {name} = {{{text}}}," for name, text in escaped.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
