"""Against chance: faithfulness next to random circuits, accuracy under ablation next to random heads."""

from interp_emerge.circuits.running.ablation import ABLATION
from interp_emerge.circuits.running.beyond_chance import CIRCUITS
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, parts


def chance(study: StudyRecord) -> list[Block]:
    """Faithfulness of each ability's circuits, and the accuracy without their heads."""
    blocks = []
    ablated = {names["ability"]: rows for _, names, rows in parts(study.table(ABLATION), ["ability"])}
    for heading, names, rows in parts(study.table(CIRCUITS), ["ability", "method"]):
        caption = (
            "What the circuit alone keeps of the clean-corrupt gap, and what random circuits keep that have as many "
            "edges, all on paths from the embedding to the logits. "
            "1: as good as the whole model; 0: as bad as the corrupt run. "
            "Undefined where there is no circuit, or the gap is within noise."
        )
        pictures = [chart("faithfulness", rows, f"Faithfulness, {names['ability']}", caption)]
        if names["ability"] in ablated:
            caption = (
                "Accuracy with nothing ablated, with the circuit's heads, and with as many random heads of the same "
                "layers. Small points are random draws, ticks their means; bars are 95% intervals over prompts."
            )
            own = ablated.pop(names["ability"])
            pictures.append(chart("ablation", own, f"Ablation, {names['ability']}", caption))
        blocks.append(Block(layout="pair", heading=heading, pictures=pictures))
    return blocks


shelf.add(
    Section(
        name="chance",
        place=60,
        title="Against chance",
        lead="A circuit counts for something only if random ones of its size do worse, "
        "and if the model cannot do without it.",
        reads=(CIRCUITS, ABLATION),
        nothing="there is no circuit to compare with chance",
        blocks=chance,
    )
)
