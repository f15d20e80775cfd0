"""Attention patterns of the circuits' heads on one prompt, drawn by CircuitsVis."""

from interp_emerge.report.reading import Attention, StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Picture, Section
from interp_emerge.report.text import joined

ATTENTION_COLOUR = "#0072B2"


def attends(study: StudyRecord) -> list[Block]:
    """The attention patterns, in tabs."""
    pictures = [_patterns(attention) for attention in study.attention]
    return (
        [Block(layout="tabs", pictures=pictures, fold="Figures: patterns of all heads of each circuit")]
        if pictures
        else []
    )


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
    caption = f"Attention of {joined(attention.heads)} on the prompt “{shown}”: white is 0, blue is 1."
    return Picture(kind="attention", label=attention.title, caption=caption, payload=payload)


shelf.add(
    Section(
        name="attention",
        place=40,
        title="What the heads attend to",
        lead="Rows are the positions that attend, columns the positions that they attend to. "
        "Point at a small pattern to enlarge it; click to keep it.",
        reads=(),
        nothing="no attention pattern was recorded, since no size has a circuit that contains heads",
        blocks=attends,
    )
)
