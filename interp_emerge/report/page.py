"""The report's page: templates, styles, scripts and data in one file, under a content security policy.

Three scripts run: the Vega bundle, the CircuitsVis bundle and the page's own, which consists of the files in `js/` and
of the figures' script for the keyboard. The policy allows these by their hashes and forbids all others, so nothing that
a prompt or a name contains can run. Charts use Vega's expression interpreter, which compiles no code. The data are JSON
in which no character can end a script element.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from interp_emerge.figures._page import circuitsvis_bundle, inert, json_for_script, policy
from interp_emerge.figures._theme import DARK, INK, INPUT_COLOURS, NODE_COLOURS, ROLE_COLOURS, ROLE_TINT
from interp_emerge.report.definitions import Definitions, linked, linked_cell
from interp_emerge.report.explorer import explorer_data
from interp_emerge.report.numbers import in_text
from interp_emerge.report.reading import Provenance, StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, anchored
from interp_emerge.report.sentences.backing import backing
from interp_emerge.report.text import joined, setting, size_of
from interp_emerge.report.vocabulary import ONSET, SAME, TERMS

HERE = Path(__file__).parent
SCRIPTS = ("marks", "state", "theme", "charts", "tables", "curves", "folding", "graph", "headmap", "attention", "views")
SCRIPTS += ("explorer", "start")
"""The files of the page's own script, which share one scope; the last one starts it."""
STYLES = ("page", "explorer")
MLPS = "MLP input"
INPUTS = {"mlps" if name == MLPS else name: colour for name, colour in INPUT_COLOURS.items()}
PALETTE = {**ROLE_COLOURS, **INPUTS, **NODE_COLOURS}
"""Colours that the explorer shares with the figures of circuits, by the name of a role, an input or a kind of node."""


def template(name: str) -> Template:
    """A template of this room; every value in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"linked": linked, "linked_cell": linked_cell, "in_text": in_text, "terms": [TERMS]}
    return environment.get_template(name)


def render(study: StudyRecord) -> str:
    """The page's HTML."""
    ordered = sorted(shelf, key=lambda section: section.place)
    shown = [(section, anchored(section.name, section.shown(study))) for section in ordered]
    style = palette_style() + style_of(STYLES)
    scripts = [vega_bundle(), circuitsvis_bundle(), script_of(SCRIPTS)]
    definitions = Definitions.of([(section, [block for _, block in blocks]) for section, blocks in shown], study)
    return template("page.html.j2").render(
        policy=policy(scripts, style),
        style=style,
        scripts=scripts,
        provenance=study.provenance,
        answer=answered(study.provenance.answer, shown),
        about=about(study.provenance),
        explorer=explorer_data(study),
        sections=shown,
        payload=json_for_script,
        palette={**{colour.lower(): dark for colour, dark in DARK.items()}, "#fff": DARK["white"], "black": DARK[INK]},
        anchor=definitions.anchor,
        definitions=definitions.groups,
        setting=setting,
        size_of=size_of,
        described=study.described,
        rows=study.rows,
        files={file.path: file for file in study.files},
        circuit_files=[file for file in study.files if file.path.startswith("circuits/")],
    )


def answered(
    sentences: Sequence[str], shown: Sequence[tuple[Section, list[tuple[str, Block]]]]
) -> list[tuple[Markup, list[tuple[str, str]]]]:
    """The answer's sentences with their words defined, each with the anchors and names of what it can be checked by."""
    places = {
        f"{anchor}-table": block.heading or block.fold or section.title
        for section, blocks in shown
        for anchor, block in blocks
        if block.table is not None
    }
    places |= {section.name: section.title for section, blocks in shown if any(block.table for _, block in blocks)}
    seen: set[str] = set()
    return [
        (linked(sentence, (SAME, ONSET, TERMS), seen), [(at, places[at]) for at in backing(sentence) if at in places])
        for sentence in sentences
    ]


def about(provenance: Provenance) -> list[str]:
    """The study's family, models, first token and dates, for the line above the question."""
    models = provenance.models
    parts = [joined(dict.fromkeys(str(model["family"]) for model in models))] if models else []
    counts = Counter({key: len({str(model[key]) for model in models}) for key in ("size", "step", "seed")})
    parts += [f"{count} {key}{'' if count == 1 else 's'}" for key, count in counts.items() if count]
    first = {model.get("prepended") for model in models}
    if len(first) == 1 and isinstance(text := first.pop(), str):
        parts.append(f"prompts begin with {text}" if text else "no token in front of prompts")
    if provenance.finished:
        parts.append(datetime.fromisoformat(provenance.finished).strftime("%d %B %Y").lstrip("0"))
    if provenance.started and provenance.finished:
        took = datetime.fromisoformat(provenance.finished) - datetime.fromisoformat(provenance.started)
        minutes, seconds = divmod(round(took.total_seconds()), 60)
        parts.append(f"ran for {minutes} min {seconds} s" if minutes else f"ran for {seconds} s")
    return parts


@cache
def vega_bundle() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return inert(vl_convert.javascript_bundle())  # pyright: ignore[reportCallIssue]


def palette_style() -> Markup:
    """The colours of roles, inputs and kinds of nodes, in light and dark, and the classes that use those of roles."""
    light = "".join(f"--{name}: {colour}; " for name, colour in PALETTE.items())
    dark = "".join(f"--{name}: {DARK[colour]}; " for name, colour in PALETTE.items())
    lines = [
        f":root {{ {light}}}",
        f':root[data-theme="dark"] {{ {dark}}}',
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark}}} }}',
        f".fill {{ fill: var(--muted); opacity: {ROLE_TINT}; }}",
    ]
    for role in ROLE_COLOURS:
        lines += [
            f".fill.{role}, .plot .dot.{role} {{ fill: var(--{role}); }}",
            f".plot .curve.{role}, .plot .key.{role} {{ stroke: var(--{role}); }}",
        ]
    return inert("\n".join(lines) + "\n")


def style_of(names: Sequence[str]) -> Markup:
    """A page's style: files of the folder `css`, one after the other."""
    return inert("".join(_text(f"css/{name}.css") for name in names))


def script_of(names: Sequence[str]) -> Markup:
    """A page's own script: files of the folder `js` and the figures' script for the keyboard, in one scope."""
    parts = _text("../figures/keyboard.js") + "".join(_text(f"js/{name}.js") for name in names)
    return inert(f'"use strict";\n(function () {{\n{parts}}})();\n')


def _text(name: str) -> str:
    return (HERE / name).read_text("utf-8")
