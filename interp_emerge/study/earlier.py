"""An earlier report in a study's directory, made with other settings: it is kept beside the new one, and that is said.

Cells on disk are shared by all settings, so running the earlier command again gives its tables back without computing
anything anew.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp_emerge.core.errors import InputError, counted

NOT_RESULTS = ("out", "threads", "device", "disk_budget", "evict_cached")
"""Settings that do not change what a report says."""
MOST_NAMED = 4
"""The largest number of changed settings that are named."""


def changes(record: Path, settings: Mapping[str, Any], abilities: list[str]) -> list[str]:
    """How the settings of the finished study that a record describes differ from these, one text for each setting.

    Empty if they are the same, or if there is no record that can be read.
    """
    try:
        written = json.loads(record.read_text())
        before, keys = dict(written["settings"]), [*written["abilities"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    different = [
        f"{name} was {_text(before[name])}, now {_text(value)}"
        for name, value in settings.items()
        if name in before and name not in NOT_RESULTS and before[name] != value
    ]
    files = {key.partition("@")[0] for key in {*keys} ^ {*abilities} if "@" in key}
    return different + [f"the file of {name} has changed" for name in sorted(files) if not different]


def claimed(path: Path) -> dict[str, Any]:
    """The settings of the study to which a directory belongs, by the file that says so.

    Raises:
        InputError: the file is damaged.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no settings by name")
    except ValueError as error:
        raise InputError(
            f"{path} is damaged, so it does not say whose study {path.parent} holds; choose another --out, or remove "
            "that file if the directory is this study's and nothing but it"
        ) from error
    return found


def free_name(report: Path) -> Path:
    """The first of `report-1.html`, `report-2.html` and so on that does not exist yet."""
    number = 1
    while (path := report.with_stem(f"{report.stem}-{number}")).exists() or path.is_symlink():
        number += 1
    return path


def what_happens(report: Path, different: list[str]) -> str:
    """What happens to an earlier report, as one line."""
    named = "; ".join(different[:MOST_NAMED])
    more = f"; and {counted(len(different) - MOST_NAMED, 'other setting')}" if len(different) > MOST_NAMED else ""
    return (
        f"{report.parent} holds a report made with other settings ({named}{more}); it is kept as "
        f"{free_name(report).name}, and its tables are replaced. Choose another --out to keep both whole"
    )


def _text(value: Any) -> str:
    return (
        "not set" if value in (None, "", []) else ",".join(map(str, value)) if isinstance(value, list) else str(value)
    )
