"""The pages of reference: every public name with its signature and its docstring, a page for each room.

They are written from the sources alone, so that building them imports neither torch nor the package.
"""

import ast
import copy
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from public_names import PACKAGE, PublicName, Room, Statement, first_places, module_docstring, rooms

SECTIONS = ("Args", "Raises", "Returns", "Yields", "Example")


def write_pages(folder: Path) -> None:
    """Write a page for each room, and the list of them, into a folder that only this function fills."""
    folder.mkdir(exist_ok=True)
    pages = {f"{room.path}.md": page_of(room) for room in rooms()}
    listed = "\n".join(pages)
    pages["index.md"] = (
        "# Reference\n\nEvery public name by the room that it is in. `ie` stands for `import interp_emerge as ie`. "
        "A name that is in several rooms is described once, where it is nearest to the front.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def page_of(room: Room) -> str:
    """The page of a room: its docstring, then its names, file by file."""
    places = first_places()
    parts = [f"# {room.path}", room.about]
    files = dict.fromkeys(name.file for name in room.names)
    for file in files:
        names = [name for name in room.names if name.file == file]
        here = [name for name in names if places[file, name.name] is name or places[file, name.name].path == name.path]
        elsewhere = [name for name in names if name not in here]
        if here:
            where = file.relative_to(PACKAGE.parent).as_posix()
            title = " · ".join(name.name for name in here)
            parts += [f"## {title}", *map(entry, here), *_about_the_file(file, where)]
        for name in elsewhere:
            there = places[file, name.name].path
            parts.append(f"`{name.path}` is {{py:obj}}`{there}`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _about_the_file(file: Path, where: str) -> Iterator[str]:
    """Formulas, sources, costs and limits: what the file says of itself."""
    text = module_docstring(file)
    if text and file.name != "__init__.py":
        yield f"<details><summary>Formulas, sources and limits, from <code>{where}</code></summary>"
        yield markdown(text)
        yield "</details>"


def entry(name: PublicName) -> str:
    """The directive that describes one name, and what is in it."""
    if isinstance(name.statement, ast.ClassDef):
        inner = [markdown(name.docstring), *(_member(one, *two) for one, two in name.members.items())]
        return _directive("class", name.path + _made_with(name), "\n\n".join(inner), fence=7)
    return _described(name.path, name.statement, name.docstring, fence=6)


def _member(name: str, statement: Statement, text: str) -> str:
    return _described(name, statement, text, fence=6, inside=True)


def _described(path: str, statement: Statement, text: str, *, fence: int, inside: bool = False) -> str:
    if isinstance(statement, ast.FunctionDef):
        decorators = {ast.unparse(one) for one in statement.decorator_list}
        if decorators & {"property", "cached_property"}:
            kind = f"\n:type: {ast.unparse(statement.returns)}" if statement.returns else ""
            return _directive("property", path, markdown(text), fence=fence, options=kind)
        is_class, is_static = "classmethod" in decorators, "staticmethod" in decorators
        options = "\n:classmethod:" if is_class else "\n:staticmethod:" if is_static else ""
        drop = inside and not is_static
        kind = "method" if inside else "function"
        return _directive(kind, path + signature(statement, drop), markdown(text), fence=fence, options=options)
    options = ""
    if isinstance(statement, ast.AnnAssign):
        options = f"\n:type: {ast.unparse(statement.annotation)}"
    value = ast.unparse(statement.value) if getattr(statement, "value", None) else ""  # type: ignore[arg-type]
    if value and len(value) < 60:
        options += f"\n:value: {value}"
    return _directive("attribute" if inside else "data", path, markdown(text), fence=fence, options=options)


def signature(statement: ast.FunctionDef, drop_first: bool) -> str:
    """The parameters with types and defaults, and what comes back, as they stand in the source."""
    wanted = copy.deepcopy(statement.args)
    if drop_first:
        (wanted.posonlyargs or wanted.args).pop(0)
    returns = f" -> {ast.unparse(statement.returns)}" if statement.returns else ""
    return f"({ast.unparse(wanted)}){returns}"


def _made_with(name: PublicName) -> str:
    """The parameters of a class that has an `__init__` of its own; fields stand below."""
    assert isinstance(name.statement, ast.ClassDef)
    made = [one for one in name.statement.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    return signature(made[0], drop_first=True).partition(" -> ")[0] if made else ""


def _directive(kind: str, argument: str, content: str, *, fence: int, options: str = "") -> str:
    ticks = "`" * fence
    return f"{ticks}{{py:{kind}}} {argument}{options}\n\n{content}\n{ticks}"


def markdown(docstring: str) -> str:
    """A docstring with its sections as lists and its examples as code."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", docstring.strip(), flags=re.MULTILINE)
    done = [parts[0].strip()]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        inner, after = _indented(body)
        if title == "Example":
            done.append(f"```python\n{inner}\n```")
        elif title in ("Args", "Raises"):
            done.append(f"**{title}**\n\n" + re.sub(r"^(\w[\w, *]*):", r"- `\1`:", inner, flags=re.MULTILINE))
        else:
            done.append(f"**{title}** {inner}")
        done.append(after)
    return "\n\n".join(part for part in done if part)


def _indented(body: str) -> tuple[str, str]:
    """The indented lines at the start, without their indent, and the rest."""
    lines = body.split("\n")
    count = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return textwrap.dedent("\n".join(lines[:count])).strip("\n"), "\n".join(lines[count:]).strip()
