"""Registries of items by name, and shelves: folders in which every public file is one item that registers itself.

A shelf knows the names of its items from the file names, so listing them imports nothing. It is told which files are
not items but hold code that the items share.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Generic, TypeVar

from interp_emerge.core.errors import UnknownNameError, require_kind

Item = TypeVar("Item")
Registered = TypeVar("Registered")


class Registry(Generic[Item]):
    """Items by name, in the order in which they were registered."""

    def __init__(self, kind: str) -> None:
        """`kind` is what an item is called in errors."""
        self.kind = kind
        self._items: dict[str, Item] = {}

    def names(self) -> list[str]:
        """Names of all items."""
        return list(self._items)

    def add(self, item: Registered) -> Registered:
        """Register an item under its `name`, or under its `__name__` if it is a function; returns it unchanged."""
        name = str(getattr(item, "name", None) or getattr(item, "__name__", ""))
        self._items[name] = item  # pyright: ignore[reportArgumentType]
        return item

    def __getitem__(self, name: str) -> Item:
        """The item of that name.

        Raises:
            UnknownNameError: no item has that name.
            InputError: the name is not text.
        """
        require_kind(name, str, f"the name of the {self.kind}", f"one name as text, such as {self.names()[0]!r}")
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        return self._items[name]

    def __iter__(self) -> Iterator[Item]:
        return (self[name] for name in self.names())


class Shelf(Registry[Item]):
    """The items of one folder, by name; a module is imported when its item is asked for."""

    def __init__(self, kind: str, package: str, *, not_items: tuple[str, ...] = ()) -> None:
        """`not_items` names the files that hold code which the items share; `base` is always one of them."""
        super().__init__(kind)
        self._package, self._not_items = package, {"base", *not_items}

    def names(self) -> list[str]:
        """Names of all items, in alphabetical order; imports none of them."""
        path = import_module(self._package).__path__
        files = (module.name for module in pkgutil.iter_modules(path) if not module.ispkg)
        return sorted(name for name in files if not name.startswith("_") and name not in self._not_items)

    def add(self, item: Registered) -> Registered:
        """Register an item, which has to be defined in a file of the same name; returns it unchanged."""
        name = str(getattr(item, "name", None) or getattr(item, "__name__", ""))
        if name not in self.names():
            raise AssertionError(f"the {self.kind} {name!r} is not in a file of that name; move it to {name}.py")
        return super().add(item)

    def __getitem__(self, name: str) -> Item:
        """The item of that name.

        Raises:
            UnknownNameError: no file of the shelf has that name.
            InputError: the name is not text.
        """
        if isinstance(name, str) and name not in self._items and name in self.names():
            import_module(f"{self._package}.{name}")
        return super().__getitem__(name)
