"""The registry of all abilities, by name, and abilities from files."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.abilities.base import Ability

_NOT_ABILITIES = ("following", "measuring", "metrics", "pairs", "prompts", "tables")
shelf: "Shelf[Ability]" = Shelf("ability", __package__ or "", not_items=_NOT_ABILITIES)


@checked
def load_ability(name: str | PathLike[str]) -> "Ability":
    """The ability of that name, or the one whose prompt pairs stand in a file.

    A file is JSON lines (.jsonl) or CSV (.csv), with `clean`, `corrupt`, `answer` and `foil` in each row;
    docs/own_prompts.md describes it.

    Example:
        >>> ie.load_ability("induction").name
        'induction'

    Raises:
        UnknownNameError: no ability has the name; the message suggests the most similar name.
        InputError: the name is neither text nor a path, or the file is missing or has a bad row.
    """
    if isinstance(name, str) and not is_file_name(name):
        if "@" in name:
            raise InputError(f"{name!r} names a file by its content, and results do not keep its path; give the file")
        return shelf[name]
    from interp_emerge.abilities.own.file_ability import ability_from_file

    found = ability_from_file(Path(name))
    if found.name in shelf.names():
        raise InputError(f"{name}: {found.name!r} is the name of an ability that comes with the package; rename the "
                         "file, or give another name in its first line")  # fmt: skip
    return found


def is_file_name(name: str) -> bool:
    """Whether a text names a file and not an ability: by its ending, or because it is a path.

    Example:
        >>> ie.abilities.is_file_name("mine.jsonl"), ie.abilities.is_file_name("induction")
        (True, False)
    """
    return name.lower().endswith((".jsonl", ".csv")) or "/" in name or "\\" in name
