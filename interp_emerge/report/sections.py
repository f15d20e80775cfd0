"""The report's sections: which figure of which table stands where, and what to say where there is nothing to draw."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures.base import last_step
from interp_emerge.report.reading import Attention, StudyRecord
from interp_emerge.report.sentences import verdicts
from interp_emerge.report.text import joined, number

ATTENTION_COLOUR = "#0072B2"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of the page: its caption, and the Vega-Lite chart or the CircuitsVis properties that draw it."""

    kind: Literal["chart", "attention"]
    label: str
    caption: str
    payload: dict[str, Any]
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """Pictures that belong together: below each other, side by side, or behind tabs that bear their labels."""

    layout: Literal["stack", "pair", "tabs"] = "stack"
    heading: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, a sentence on how to read what follows, and the pictures."""

    id: str
    title: str
    lead: str
    blocks: list[Block]


def sections(study: StudyRecord) -> list[Section]:
    """The sections that show pictures, in the order of the page."""
    first = [over_scale(study), which_heads(study), the_circuit(study), attends(study), forms(study)]
    return [*first, chance(study), same(study)]


def over_scale(study: StudyRecord) -> Section:
    """Ability against size, and against what every checkpoint was trained on."""
    table = study.tables["ability"]
    blocks = [Block(notes=[_nothing(study, "ability", "no model was measured")])]
    if len(table):
        axis = str(study.provenance.settings.get("axis", "parameters"))
        caption = (
            "Each ability at the last training step. Points are training seeds, lines run through their means, bars "
            "are 95% intervals over prompts. Dashed: controls, which every size learns smoothly. Dotted: chance."
        )
        drawn = _chart("ability_curve", table, "Ability over scale", caption, axis=axis)
        blocks = [Block(pictures=[drawn]), *_by_checkpoint(table, axis)]
    return Section(
        id="scale",
        title="Ability over scale",
        lead="The same logits under a thresholded metric and a continuous one: "
        "a jump that shows on the left alone may come from the threshold.",
        blocks=[
            *blocks,
            *_noted("The model's jump or the metric's", verdicts.jumps(study.tables)),
            *_noted("The form of the curve, with its AICc weight among four", verdicts.trends(study.tables)),
            *_noted("Correlation of a prompt's score with scale", verdicts.correlations(study.tables)),
            *_noted("Training runs that disagree", verdicts.seeds(study.tables)),
        ],
    )


def _by_checkpoint(table: pd.DataFrame, axis: str) -> list[Block]:
    """Abilities at every checkpoint, where there are several of a run."""
    if table.groupby(["size", "seed"])["step"].nunique().max() < 2:
        return []
    caption = (
        "Every checkpoint of every training run, larger sizes darker. Where all sizes follow one curve over held-out "
        "loss, size adds nothing to what the loss tells. Bars are 95% intervals over prompts."
    )
    try:
        drawn = _chart("ability_by_checkpoint", table, "Ability at every checkpoint", caption, axis=axis)
    except InputError as error:
        return [Block(notes=[f"Nothing to show by checkpoint: {error}."])]
    return [Block(pictures=[drawn])]


def which_heads(study: StudyRecord) -> Section:
    """Effects of heads and MLPs."""
    blocks = []
    for names, rows in _parts(study.tables["node_scores"], ["ability", "method", "metric"]):
        caption = (
            f"Effect of each head and MLP on {names['metric']}, measured by {names['method']} on {names['ability']}. "
            "Blue: putting the node's clean value into the corrupt run raises the metric. "
            "A dot marks an effect whose 95% interval leaves out zero."
        )
        picture = _chart("head_effects", rows, f"Head effects, {names['ability']}", caption)
        blocks.append(Block(heading=_heading(study, names), pictures=[picture]))
    return Section(
        id="heads",
        title="Which heads matter",
        lead="One grid per size, layers from bottom to top, on one colour scale.",
        blocks=blocks or [Block(notes=[_nothing(study, "node_scores", "no head was scored")])],
    )


def the_circuit(study: StudyRecord) -> Section:
    """The circuit of each model as a graph, the largest first."""
    circuits, blocks = study.tables["circuits"], []
    edges = study.tables["circuit_edges"]
    for names, found in _parts(circuits, ["ability"]):
        drawn: list[Picture] = []
        undrawn: dict[str, list[str]] = {}
        for model, row in _largest_first(last_step(found)):
            keys = (edges["ability"] == names["ability"]) & (edges["size"] == row["size"])
            own = edges[keys & (edges["step"] == row["step"]) & (edges["seed"] == row["seed"])]
            if own.empty:
                undrawn.setdefault(str(row["verdict"]), []).append(model)
                continue
            caption = (
                f"{int(row['n_edges']):,} of {int(row['n_graph_edges']):,} edges ({number(100 * row['edge_share'])}%), "
                f"found by {row['method']}. Faithfulness {_interval(row, 'faithfulness')}: {row['verdict']}. "
                f"Circuits of bootstrap samples of its prompts have a mean Jaccard index {number(row['stability'])}. "
                "Point at a node to single out its edges."
            )
            drawn.append(_chart("circuit_graph", own, model, caption, link=row["file"]))
        said = [f"No circuit to draw in {joined(models)}; verdict: {verdict}." for verdict, models in undrawn.items()]
        heading = _heading(study, names)
        blocks.append(Block(layout="tabs", heading=heading, pictures=drawn, notes=said))
    if not blocks:
        blocks = [
            Block(notes=[_nothing(study, "circuits", "no size has the ability, so there was no circuit to find")])
        ]
    return Section(
        id="circuit",
        title="The circuit",
        lead="Read upward: from the embedding through the heads and MLPs of each layer to the logits. "
        "Only the edges that the circuit keeps are shown.",
        blocks=blocks,
    )


def attends(study: StudyRecord) -> Section:
    """Attention patterns, drawn by CircuitsVis."""
    pictures = [_patterns(attention) for attention in study.attention]
    notes = [] if pictures else ["No attention pattern was kept, since no size has a circuit with heads in it."]
    return Section(
        id="attention",
        title="What the heads attend to",
        lead="Rows are positions that attend, columns are positions attended to. "
        "Point at a small pattern to enlarge it, click to keep it.",
        blocks=[Block(layout="tabs", pictures=pictures, notes=notes)],
    )


def forms(study: StudyRecord) -> Section:
    """Formation over training."""
    blocks = []
    for names, rows in _parts(study.tables["formation"], ["ability"]):
        caption = (
            "Each quantity at every checkpoint; step 0 is the untrained model. Faithfulness is that of the last step's "
            "circuit, and is left out where it is undefined. Bands are 95% intervals over prompts. "
            "The part with the highest value at the last step stands out and is named; the others are faint."
        )
        picture = _chart("formation", rows, f"Formation of {names['ability']}", caption)
        blocks.append(Block(heading=_heading(study, names), pictures=[picture]))
    return Section(
        id="formation",
        title="How it forms",
        lead="What appears after the ability did not bring it about.",
        blocks=[
            *(blocks or [Block(notes=[_nothing(study, "formation", "no checkpoint was followed")])]),
            *_noted("What forms first", [*verdicts.orders(study.tables), *verdicts.lags(study.tables)]),
            *_noted("Where the loss changes its slope", verdicts.losses(study.tables)),
            *_noted("When the ability comes to depend on the circuit", verdicts.dependences(study.tables)),
        ],
    )


def chance(study: StudyRecord) -> Section:
    """Faithfulness against random circuits, accuracy under ablation."""
    blocks = []
    ablated = dict(_keyed(study.tables["ablation"]))
    for names, rows in _parts(study.tables["circuits"], ["ability", "method"]):
        caption = (
            "What the circuit alone keeps of the clean-corrupt gap, and what random circuits keep that have as many "
            "edges, all on paths from the embedding to the logits. "
            "1: as good as the whole model; 0: as bad as the corrupt run. "
            "Undefined where there is no circuit, or the gap is within noise."
        )
        pictures = [_chart("faithfulness", rows, f"Faithfulness, {names['ability']}", caption)]
        if names["ability"] in ablated:
            caption = (
                "Accuracy with nothing ablated, with the circuit's heads, and with as many random heads of the same "
                "layers. Small points are random draws, ticks their means; bars are 95% intervals over prompts."
            )
            own = ablated.pop(names["ability"])
            pictures.append(_chart("ablation", own, f"Ablation, {names['ability']}", caption))
        blocks.append(Block(layout="pair", heading=_heading(study, names), pictures=pictures))
    return Section(
        id="chance",
        title="Against chance",
        lead="A circuit counts for something only if random ones of its size do worse, "
        "and if the model cannot do without it.",
        blocks=blocks or [Block(notes=[_nothing(study, "circuits", "there is no circuit to compare with chance")])],
    )


def same(study: StudyRecord) -> Section:
    """Circuits of neighbouring sizes against resamples of themselves, random circuits and each other."""
    said = verdicts.comparisons(study.tables)
    return Section(
        id="same",
        title="The same circuit?",
        lead="Heads are matched by their roles, depth and connections. Two circuits differ only if they share less "
        "across halves of the prompts than they would if nothing differed but the noise of each.",
        blocks=[Block(notes=said or [_nothing(study, "comparisons", "there are no two sizes with a circuit")])],
    )


def _noted(heading: str, notes: list[str]) -> list[Block]:
    """A block of sentences, where there are any."""
    return [Block(heading=heading, notes=notes)] if notes else []


def _chart(
    figure: str, table: pd.DataFrame, label: str, caption: str, link: str | None = None, **options: str
) -> Picture:
    spec = shelf[figure](table, **options).to_dict(validate=False)  # a third of the time; the figures' tests validate
    spec["description"] = label
    return Picture(kind="chart", label=label, caption=caption, payload=spec, link=link)


def _patterns(attention: Attention) -> Picture:
    shown = " ".join(token.strip() for token in attention.tokens)
    payload = {
        "attention": attention.patterns,
        "attentionHeadNames": attention.heads,
        "tokens": attention.tokens,
        "minValue": -1,
        "maxValue": 1,
        "positiveColor": ATTENTION_COLOUR,
        "maskUpperTri": True,
    }
    caption = f"Attention of {joined(attention.heads)} on the prompt “{shown}”, white 0, blue 1."
    return Picture(kind="attention", label=attention.title, caption=caption, payload=payload)


def _parts(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """The table's rows for each combination of the columns' values, in the order of the table."""
    for values, rows in table.groupby(columns, sort=False):
        yield dict(zip(columns, map(str, values), strict=True)), rows.reset_index(drop=True)


def _keyed(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for names, rows in _parts(table, ["ability"]):
        yield names["ability"], rows


def _largest_first(rows: pd.DataFrame) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Each row with the name of its model; the seed is named only where the size has several."""
    place = {size: place for place, size in enumerate(rows["size"].unique())}
    rows = rows.assign(place=-rows["size"].map(place)).sort_values(["place", "seed"], kind="stable")
    several = rows.groupby("size")["seed"].transform("nunique") > 1
    for row, named in zip(rows.to_dict("records"), several, strict=True):
        yield f"{row['size']} (seed {row['seed']})" if named else str(row["size"]), row


def _heading(study: StudyRecord, names: dict[str, str]) -> str | None:
    """What a block is about, where the section has more than one."""
    tables = [study.tables[name] for name in ("node_scores", "circuits", "formation")]
    abilities = {ability for table in tables for ability in table["ability"].unique()}
    methods = study.tables["node_scores"]["method"].nunique()
    parts = [names["ability"]] if len(abilities) > 1 else []
    parts += [names["method"]] if methods > 1 and "method" in names else []
    return ", ".join(parts) or None


def _interval(row: dict[Any, Any], column: str) -> str:
    if pd.isna(row[column]):
        return number(row[column])
    return f"{number(row[column])} (95% interval {number(row['ci_low'])} to {number(row['ci_high'])})"


def _nothing(study: StudyRecord, table: str, reason: str) -> str:
    if table in study.missing:
        return f"Nothing to show: the study has not written its table “{table}”; run it to its end."
    return f"Nothing to show: {reason}."
