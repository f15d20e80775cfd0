"""What the package makes public, read from its stubs and sources without importing them.

A room is a folder with an `__init__.pyi`; the stub lists its names and where each is defined.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "interp_emerge"
Statement = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True, kw_only=True)
class PublicName:
    """A name as a user reaches it, such as `ie.circuits.overlap`, and the statement that defines it."""

    path: str
    file: Path
    statement: Statement
    docstring: str
    """Empty if there is none."""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def members(self) -> dict[str, tuple[Statement, str]]:
        """The public fields, properties and methods of a class, each with its docstring."""
        if not isinstance(self.statement, ast.ClassDef):
            return {}
        return {name: one for name, one in _statements(self.statement.body).items() if not name.startswith("_")}


@dataclass(frozen=True, kw_only=True)
class Room:
    """A folder of the package that lists public names."""

    folder: Path

    @property
    def path(self) -> str:
        """How a user reaches it: `ie`, `ie.circuits.testing`."""
        return ".".join(("ie", *self.folder.relative_to(PACKAGE).parts))

    @cached_property
    def names(self) -> list[PublicName]:
        return [*self._names()]

    def _names(self) -> Iterator[PublicName]:
        for imported in ast.parse((self.folder / "__init__.pyi").read_text()).body:
            if isinstance(imported, ast.ImportFrom) and imported.module and imported.level:
                above = [self.folder, *self.folder.parents][imported.level - 1]
                target = above.joinpath(*imported.module.split("."))
                for alias in imported.names:
                    if alias.asname == alias.name:
                        file, statement, text = defined(target, alias.name)
                        path = f"{self.path}.{alias.name}"
                        yield PublicName(path=path, file=file, statement=statement, docstring=text)

    @property
    def about(self) -> str:
        """The docstring of the folder."""
        return ast.get_docstring(_tree(self.folder / "__init__.py")) or ""


def rooms() -> list[Room]:
    """Every room, the package itself first."""
    return [Room(folder=stub.parent) for stub in sorted(PACKAGE.rglob("__init__.pyi"), key=lambda path: path.parent)]


def first_places() -> dict[tuple[Path, str], PublicName]:
    """Every public thing once, at the place nearest to the front, by file and name."""
    found: dict[tuple[Path, str], PublicName] = {}
    for room in sorted(rooms(), key=lambda room: len(room.folder.parts)):
        for name in room.names:
            found.setdefault((name.file, name.name), name)
    return found


def defined(target: Path, name: str) -> tuple[Path, Statement, str]:
    """The file and the statement that define a name of a module or a folder, with its docstring."""
    if (stub := target / "__init__.pyi").exists():
        for imported in ast.parse(stub.read_text()).body:
            if isinstance(imported, ast.ImportFrom) and name in [alias.name for alias in imported.names]:
                return defined(target.joinpath(*(imported.module or "").split(".")), name)
    file = target / "__init__.py" if target.is_dir() else target.with_suffix(".py")
    tree = _tree(file)
    if name in (here := _statements(tree.body)):
        return file, *here[name]
    for imported in tree.body:
        if isinstance(imported, ast.ImportFrom) and name in [alias.name for alias in imported.names]:
            return defined(PACKAGE.parent.joinpath(*(imported.module or "").split(".")), name)
    raise LookupError(f"{file} does not define {name}")


def module_docstring(file: Path) -> str:
    return ast.get_docstring(_tree(file)) or ""


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def _statements(body: list[ast.stmt]) -> dict[str, tuple[Statement, str]]:
    """Functions, classes and values of a body by name. A text below a value is its docstring."""
    found: dict[str, tuple[Statement, str]] = {}
    for one, after in zip(body, [*body[1:], None], strict=True):
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            if not _is_overload(one):
                found[one.name] = one, ast.get_docstring(one) or ""
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            target = one.targets[0] if isinstance(one, ast.Assign) else one.target
            for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(name, ast.Name):
                    found[name.id] = one, str(text)
    return found


def _is_overload(one: ast.FunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in one.decorator_list)
