"""An index page over studies: one row a study, with its answer and a link to its report; opens from disk, offline."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import write_atomically
from interp_emerge.figures._page import policy
from interp_emerge.report.build import REPORT
from interp_emerge.report.page import script_of, style_of, template
from interp_emerge.report.reading import Provenance, read_provenance
from interp_emerge.report.text import joined

INDEX = "index.html"
SCRIPTS = ("marks", "state", "theme", "tables", "index")
PROVENANCE, SETTINGS = "provenance.json", "study.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the index says of one study."""

    name: str
    """The name of the study's directory."""
    link: str
    """Address of its report, relative to the folder; empty if it has none."""
    family: str
    ability: str
    answer: str
    """The first sentence of its answer, or why it cannot be read."""
    sizes: int | None
    steps: int | None
    seeds: int | None
    finished: str
    """Date as YYYY-MM-DD; empty if it is not known."""


def build_index(folder: Path) -> Path:
    """Write `index.html` into a folder that holds several studies; returns its path.

    A study whose record cannot be read has a row that says why. Studies that have not
    finished are named below the table.

    Raises:
        InputError: the folder holds no study that has finished.
    """
    rows = [_row(path.parent) for path in studies_in(folder)]
    if not rows:
        raise InputError(f"{folder} holds no study: none of its directories has a {PROVENANCE}; run a study first")
    started = (path.parent for path in sorted(folder.glob(f"*/{SETTINGS}")))
    waiting = [path.name for path in started if not (path / PROVENANCE).is_file()]
    style, script = style_of(("page",)), script_of(SCRIPTS)
    page = template("index.html.j2").render(
        policy=policy([script], style),
        style=style,
        script=script,
        rows=rows,
        waiting=joined(waiting),
    )
    write_atomically(folder / INDEX, page.encode("utf-8", "replace"))
    return folder / INDEX


def studies_in(folder: Path) -> list[Path]:
    """The records of the studies that have finished and lie in a folder, each in a directory of its own."""
    return sorted(folder.glob(f"*/{PROVENANCE}"))


def _row(study: Path) -> Row:
    report = study / REPORT
    # A name with a colon would be read as the scheme of an address; quoted it is not.
    link = "./" + quote(f"{study.name}/{REPORT}") if report.is_file() else ""
    name = study.name
    try:
        record = read_provenance(study / PROVENANCE)
    except InputError as error:
        counts = {"sizes": None, "steps": None, "seeds": None}
        return Row(
            name=name, link=link, family="", ability="", answer=f"Cannot be read: {error}", finished="", **counts
        )
    return Row(
        name=name,
        link=link,
        family=joined(_distinct(record, "family")),
        ability=str(record.settings.get("ability", "")),
        answer=record.answer[0] if record.answer else "No answer.",
        sizes=len(_distinct(record, "size")),
        steps=len(_distinct(record, "step")),
        seeds=len(_distinct(record, "seed")),
        finished=_date(record.finished),
    )


def _distinct(record: Provenance, field: str) -> list[str]:
    return [*dict.fromkeys(str(model[field]) for model in record.models)]


def _date(finished: str | None) -> str:
    try:
        return datetime.fromisoformat(finished or "").date().isoformat()
    except ValueError:
        return ""
