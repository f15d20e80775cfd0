"""`list`: the names in a registry."""

import json
from typing import Annotated, Any

import typer

from interp_emerge.cli._shared import SHELVES, AsJson, app, names_of, show
from interp_emerge.core.errors import InputError
from interp_emerge.core.registry import Registry
from interp_emerge.families import load_family

LISTED = (*SHELVES, "metrics", "words")
MOST_WORDS = 1000
"""The largest vocabulary whose words are printed."""


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(LISTED), autocompletion=lambda: list(LISTED))],
    family: Annotated[
        str,
        typer.Option(help="for words: whose vocabulary is printed", autocompletion=names_of(SHELVES["families"])),
    ] = "miniature",
    as_json: AsJson = False,
) -> None:
    """Print the names in a registry, each with one line and its source; or the words of a family's small vocabulary."""
    import pandas as pd

    if what not in LISTED:
        raise InputError(f"cannot list {what!r}; list shows {', '.join(LISTED)}")
    if what == "words":
        words = words_of(family)
        typer.echo(json.dumps(words, ensure_ascii=False) if as_json else " ".join(words))
        return
    rows = [
        {
            "name": name,
            "summary": getattr(item, "summary", None) or str(item.__doc__).splitlines()[0],
            **(columns_of_ability(item, names=as_json) if what == "abilities" else {}),
            "source": str(getattr(item, "source", "")),
        }
        for name, item in zip(registry_of(what).names(), registry_of(what), strict=True)
    ]
    show(pd.DataFrame(rows), as_json)


def words_of(family: str) -> list[str]:
    """The ordinary tokens of a family with a small vocabulary, in alphabetical order.

    Raises:
        InputError: the family has no tokenizer, or a large vocabulary.
    """
    loaded = load_family(family)
    size = loaded.sizes[0]
    model = loaded.load(size, "last", loaded.seeds(size)[0])
    if model.tokenizer is None:
        raise InputError(f"{family} has no tokenizer, so its tokens are numbers from 0 to {model.d_vocab - 1}")
    ids = model.lexicon.ordinary_ids
    if len(ids) > MOST_WORDS:
        raise InputError(f"{family} has {len(ids):,} tokens, too many to print; in Python they are "
                         "model.tokenizer.get_vocab()")  # fmt: skip
    return sorted(model.lexicon.recorded([token]) for token in ids)


def columns_of_ability(ability: Any, *, names: bool) -> dict[str, Any]:
    """What the table of abilities says beside name, summary and source: templates by name, or their number."""
    return {
        "language": ability.language or "random tokens",
        "chance": round(ability.chance, 3),
        "templates": [*ability.templates] if names else len(ability.templates),
        "corruptions": ", ".join(ability.corruptions),
        "positions": ", ".join(ability.positions),
        "variables": ", ".join(ability.variables),
        "variations": ", ".join(ability.variations),
        "splits": "yes" if ability.chosen else "no",
        "needs": ability.requirements,
    }


def registry_of(what: str) -> Registry[Any]:
    """The registry of this name."""
    if what == "metrics":
        from interp_emerge.abilities.metrics import METRICS

        return METRICS
    return SHELVES[what]
