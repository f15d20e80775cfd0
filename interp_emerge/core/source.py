"""Where a method, a definition or a task comes from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A citation short enough for a table."""

    authors: str
    year: int
    url: str

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}), {self.url}"
