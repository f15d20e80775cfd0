"""Load a family by its name, or from a directory of checkpoints."""

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
    """The family of that name, or a family made of the checkpoints below that directory.

    Raises:
        UnknownNameError: `name` is neither a known family nor a directory.
        ModelError: the path is a file, or a directory without a model.
        InputError: `name` is neither text nor a path.
    """
    text = str(name)
    if text in shelf.names():
        return shelf[text]
    if Path(text).is_file():
        raise ModelError(f"{text} is a file; give the directory of checkpoints that contains it")
    if not Path(text).is_dir():
        raise UnknownNameError("family or directory", text, shelf.names())
    from interp_emerge.families._disk.directory import DirectoryFamily

    family = DirectoryFamily(Path(text))
    family.read()
    return family
