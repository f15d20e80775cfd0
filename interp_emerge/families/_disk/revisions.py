"""How the revisions of a repository are named after training steps, and how such a name is read back.

A pattern is the name of a revision with `{step}` where the step stands, such as `step{step}`, `checkpoint-{step}` or
`stage1-step{step}-tokens{tokens}`. Where the number of tokens is part of the name, or the published steps are not
known, revisions cannot be named without a list of them: `list_revisions` asks the hub for it and keeps the answer on
disk with its date.
"""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError

from interp_emerge.core.errors import ModelError
from interp_emerge.core.files import write_atomically
from interp_emerge.families._disk.names import FACTORS
from interp_emerge.families._disk.network import why_offline

FIELDS = {"step": r"(?P<step>\d+)", "tokens": r"(?P<tokens>\d+(?:\.\d+)?[kKmMbBtT]?)"}
NEWS = timedelta(days=1)
"""How long a list of revisions counts as up to date."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A revision of a repository, and what its name says."""

    name: str
    step: int
    tokens: int | None = None
    """Number of training tokens, as precisely as the name gives it; None if it does not."""


@dataclass(frozen=True)
class Pattern:
    """The name of a revision, with `{step}` for the step and `{tokens}` for a number of tokens such as 424B."""

    text: str

    def __post_init__(self) -> None:
        fields = re.findall(r"\{(.*?)\}", self.text)
        if unknown := [name for name in fields if name not in FIELDS]:
            raise ModelError(
                f"revisions = {self.text!r} has the unknown field {{{unknown[0]}}}; known: {{step}} and {{tokens}}"
            )
        if len({*fields}) < len(fields):
            raise ModelError(f"revisions = {self.text!r} has a field twice; name each once")
        if fields and "step" not in fields:
            raise ModelError(f"revisions = {self.text!r} lacks {{step}}, so that no step can be read from a name")

    @property
    def is_one(self) -> bool:
        """Whether the pattern is the name of one revision, without any field."""
        return "{" not in self.text

    @property
    def names_by_step(self) -> bool:
        """Whether the step alone gives the name."""
        return "{tokens}" not in self.text

    def name(self, step: int) -> str:
        """The name of the revision at a step; `read` gives the step back."""
        return self.text.replace("{step}", str(step))

    def read(self, name: str) -> Revision | None:
        """The revision of this name; None if the name does not follow the pattern."""
        match = self._form.fullmatch(name)
        if match is None or self.is_one:
            return None
        found = match.groupdict()
        return Revision(name=name, step=int(found["step"]), tokens=_count(found.get("tokens")))

    @cached_property
    def _form(self) -> re.Pattern[str]:
        parts = re.split(r"\{(.*?)\}", self.text)
        return re.compile("".join(FIELDS[part] if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def read_revisions(names: Iterable[str], patterns: Sequence[Pattern]) -> dict[int, Revision]:
    """The revisions among these names that follow a pattern, by step; of two with one step the earlier pattern's."""
    found: dict[int, Revision] = {}
    listed = [*names]
    for pattern in patterns:
        for name in sorted(listed):
            revision = pattern.read(name)
            if revision is not None:
                found.setdefault(revision.step, revision)
    return dict(sorted(found.items()))


def list_revisions(repository: str) -> list[str]:
    """Names of all branches and tags of a repository, from the hub, or as they were when the hub was last asked.

    The list is kept on disk and asked for again after a day. Without a network an older list is used.

    Raises:
        ModelError: the hub cannot be reached and was never asked, or has no such repository.
    """
    path = list_path(repository)
    kept = _kept(path)
    if kept is not None and datetime.now(UTC) - kept[0] < NEWS:
        return kept[1]
    if reason := why_offline():
        if kept is not None:
            return kept[1]
        raise ModelError(f"the revisions of {repository} are not known here: {reason}")
    try:
        refs = HfApi().list_repo_refs(repository)
    except (HfHubHTTPError, OSError) as error:
        if kept is not None:
            log.warning("the hub did not list the revisions of %s; using the list of %s", repository, kept[0].date())
            return kept[1]
        from interp_emerge.families._disk.downloads import refused

        raise refused(error, repository, "main") from error
    names = sorted({one.name for one in (*refs.branches, *refs.tags)})
    content = {"repository": repository, "asked": datetime.now(UTC).isoformat(timespec="seconds"), "revisions": names}
    write_atomically(path, json.dumps(content, indent=1).encode())
    return names


def list_path(repository: str) -> Path:
    """Where the list of a repository's revisions is kept: beside the hub's cache."""
    beside = Path(constants.HF_HUB_CACHE).parent / "interp_emerge" / "revisions"
    return beside / f"{repository.replace('/', '--')}.json"


def _kept(path: Path) -> tuple[datetime, list[str]] | None:
    try:
        content = json.loads(path.read_text())
        return datetime.fromisoformat(content["asked"]), [str(name) for name in content["revisions"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.rstrip("kmbtKMBT")
    return int(Fraction(digits) * FACTORS[text[len(digits) :].lower()])
