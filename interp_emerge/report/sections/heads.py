"""Which heads and MLPs matter: the effect of each, one grid for each size."""

from interp_emerge.patching.scores import NODE_SCORES
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, parts


def which_heads(study: StudyRecord) -> list[Block]:
    """The effects of heads and MLPs."""
    blocks = []
    for heading, names, rows in parts(study.table(NODE_SCORES), ["ability", "method", "metric"]):
        caption = (
            f"Effect of each head and MLP on {names['metric']}, measured by {names['method']} on {names['ability']}. "
            "Blue: putting the node's clean value into the corrupt run raises the metric. "
            "These are the prompts that circuits are found on; the explorer shows effects on those that circuits are "
            "judged by, so that small ones differ. A dot marks an effect whose 95% interval excludes zero."
        )
        picture = chart("head_effects", rows, f"Head effects, {names['ability']}", caption)
        blocks.append(Block(heading=heading, pictures=[picture], fold="Figure: effects at every size"))
    return blocks


shelf.add(
    Section(
        name="heads",
        place=20,
        title="Which heads matter",
        lead="One grid for each size, with layers from bottom to top and the same colour scale.",
        reads=(NODE_SCORES,),
        nothing="no head was scored",
        blocks=which_heads,
    )
)
