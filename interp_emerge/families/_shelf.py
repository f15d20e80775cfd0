"""The families by name, and those of directories."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import ModelError, UnknownNameError
from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.families.base import Family

shelf: "Shelf[Family]" = Shelf("family", __package__ or "", not_items=("hooking",))


@checked
def load_family(name: str | PathLike[str]) -> "Family":
    """The family of that name, or the one made of the checkpoints below that directory.

    Raises:
        UnknownNameError: neither a known name nor a directory.
        ModelError: a file, or a directory without a model.
        InputError: neither text nor a path.
    """
    text = str(name)
    if text in shelf.names():
        return shelf[text]
    if Path(text).is_file():
        raise ModelError(f"{text} is a file; give the directory of checkpoints that it lies in")
    if not Path(text).is_dir():
        raise UnknownNameError("family or directory", text, shelf.names())
    from interp_emerge.families._disk.directory import DirectoryFamily

    family = DirectoryFamily(Path(text))
    family.read()
    return family
