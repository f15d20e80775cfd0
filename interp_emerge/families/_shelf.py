"""Load a family by its name, from a directory of checkpoints, from a GGUF file, or from a TOML file."""

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
    """The family of that name, or one made of local files.

    Example:
        >>> family = ie.load_family("miniature")
        >>> family.sizes[:3], family.steps("3k")[-1]
        (['3k', '5k', '7k'], 5000)

    Args:
        name: a name on the shelf; a directory of checkpoints in Hugging Face format; a GGUF file, or a directory that
            holds one; a TOML file that describes a family (docs/families.md shows one); or the name of a family of
            models in memory (`memory:NAME`, from `ie.families.of_model`).

    Raises:
        UnknownNameError: `name` is neither a known family nor a directory or file.
        ModelError: the path is another file, or a directory without a model, or reading it needs a package that is
            not installed.
        InputError: `name` is neither text nor a path, or the TOML file is not valid.
    """
    text = str(name)
    if text in shelf.names():
        return shelf[text]
    if text.startswith("memory:"):
        from interp_emerge.families._disk.memory import held_family

        return held_family(text)
    path = Path(text)
    if path.is_file():
        return _from_file(path)
    if not path.is_dir():
        raise UnknownNameError("family or directory", text, shelf.names())
    from interp_emerge.families._disk.directory import DirectoryFamily
    from interp_emerge.families._disk.gguf import GgufFamily, only_gguf, require_gguf

    if (file := only_gguf(path)) is not None:
        require_gguf(file)
        return GgufFamily(file)
    family = DirectoryFamily(path)
    family.read()
    return family


def _from_file(path: Path) -> "Family":
    if path.suffix == ".toml":
        from interp_emerge.families._disk.own import read_own_family

        return read_own_family(path)
    if path.suffix == ".gguf":
        from interp_emerge.families._disk.gguf import GgufFamily, require_gguf

        require_gguf(path)
        return GgufFamily(path)
    raise ModelError(f"{path} is a file; give the directory of checkpoints that contains it")
