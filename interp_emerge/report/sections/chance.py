"""Against chance: faithfulness compared with random circuits, accuracy without heads compared with random heads."""

from interp_emerge.circuits.tables import ABLATION, CIRCUITS
from interp_emerge.report.numbers import Kind, number
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, parts, tabled
from interp_emerge.report.verdicts.circuits import ablation_table

PROMPTS = "All of it on the prompts that circuits are judged by, not on those that they were found on."


def chance(study: StudyRecord) -> list[Block]:
    """Faithfulness of each ability's circuits, and accuracy without their heads."""
    blocks = []
    ablated = {names["ability"]: rows for _, names, rows in parts(study.table(ABLATION), ["ability"])}
    for heading, names, rows in parts(study.table(CIRCUITS), ["ability", "method"]):
        caption = (
            "The fraction of the clean-corrupt gap that the circuit alone keeps, and that random circuits of the same "
            "size keep. Random circuits are drawn in several ways; shown is the one whose circuits keep most. "
            "1: as good as the whole model; 0: as bad as the corrupt run. "
            f"Undefined where there is no circuit, or where the gap is within noise. {PROMPTS}"
        )
        pictures = [chart("faithfulness", rows, f"Faithfulness, {names['ability']}", caption)]
        if names["ability"] in ablated:
            caption = (
                "Accuracy with nothing ablated, with the circuit's heads ablated, and with as many random heads of the "
                "same layers ablated. Small points are random draws, ticks their means; bars are 95% intervals over "
                f"prompts. {PROMPTS}"
            )
            own = ablated.pop(names["ability"])
            pictures.append(chart("ablation", own, f"Ablation, {names['ability']}", caption))
        blocks.append(
            Block(layout="pair", heading=heading, pictures=pictures, fold="Figures: faithfulness and ablation")
        )
    heading = "Accuracy without the circuit's heads"
    table = ablation_table(study.table(ABLATION))
    return tabled(heading, table, [], name="ablation", reading=prompts(study)) + blocks


def prompts(study: StudyRecord) -> str:
    """Which prompts the numbers of this section are from, and why they differ from those of abilities."""
    judged, measured = (study.provenance.settings.get(name) for name in ("n_pairs", "n_measured"))
    many = f" {number(judged, Kind.COUNT)}" if isinstance(judged, int) else ""
    others = f", {number(measured, Kind.COUNT)}" if isinstance(measured, int) else ""
    return (
        f"These accuracies are from the{many} prompts that circuits are judged by. Those of the section “Ability over "
        f"scale” are from other prompts{others} of the same ability. So the accuracy of one model may be two numbers."
    )


shelf.add(
    Section(
        name="chance",
        place=60,
        title="Against chance",
        lead="A circuit is evidence only if random circuits of its size keep less, and if the model loses the ability "
        "without it. Accuracies here are not from the prompts of “Ability over scale” but from those that circuits are "
        "judged by.",
        reads=(CIRCUITS, ABLATION),
        nothing="there is no circuit to compare with chance",
        blocks=chance,
    )
)
