"""Say in sentences what a study's tables show: every number with its interval, every claim beside its null."""

import pandas as pd

from interp_emerge.core.graph import Graph
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.report.text import words
from interp_emerge.stats.intervals import Interval

STRONG = 0.5
"""Of a head's attention: what a role has to take for a sentence to call the head by it."""


def question(ability: str, family: str) -> str:
    """The study's question."""
    return f"When does {words(ability)} emerge in the {family} family, and which circuit carries it?"


def answer(tables: dict[str, pd.DataFrame], ability: str, graphs: dict[str, Graph]) -> list[str]:
    """Sentences on where the ability appears, what its circuit is, what it rests on, and how it formed.

    Args:
        tables: the study's tables by name.
        ability: the ability in question.
        graphs: the graph of each size that has a circuit.
    """
    found = tables["circuits"]
    found = found[(found["ability"] == ability) & found["faithfulness"].notna()]
    sentences = [_scale(tables, ability), *_seeds(tables, ability), *_controls(tables)]
    if found.empty:
        return [*sentences, "In no size is there a circuit to report: the table of circuits says why."]
    largest = found.iloc[-1]
    here = (found["size"] == largest["size"]).idxmax()
    sentences.append(_faithful(found.loc[here]))
    sentences += _composition(tables, largest["size"], graphs[largest["size"]])
    sentences += _ablation(tables["ablation"], largest["size"])
    return sentences + _formation(tables["onsets"], ability, largest["size"])


def induction_edges(roles: pd.DataFrame, edges: pd.DataFrame, graph: Graph) -> list[tuple[str, str]]:
    """Edges from a previous-token head into the keys of an induction head, both clearing their baselines."""
    holds = roles[roles["clears_baseline"] & (roles["score"] >= STRONG)]
    before = set(holds[holds["role"] == "previous_token"]["node"])
    after = set(holds[holds["role"] == "induction"]["node"])
    feeds = {
        name: {graph.writer_names[writer] for writer in graph.owner[row].nonzero()[0]}
        for row, name in enumerate(graph.reader_names)
        if name.endswith(".k")
    }
    return [
        (str(edge.writer), str(edge.reader))
        for edge in edges.itertuples()
        if edge.writer in before and feeds.get(str(edge.reader), set()) & after
    ]


def _scale(tables: dict[str, pd.DataFrame], ability: str) -> str:
    onset = _onset(tables["onsets"], ability, "accuracy", "size")
    accuracy = _accuracy(tables["ability"], ability)
    first, last = accuracy.iloc[0], accuracy.iloc[-1]
    ends = f"{_of_seeds(tables['ability'], ability, first)}, {_of_seeds(tables['ability'], ability, last)}"
    name = words(ability).capitalize()
    match onset["verdict"]:
        case OnsetVerdict.EMERGENT | OnsetVerdict.GRADUAL:
            verb = (
                "emerges"
                if onset["verdict"] == OnsetVerdict.EMERGENT
                else "grows gradually, without a point near chance, and appears"
            )
            return (
                f"{name} {verb} between {onset['last_without']} and {onset['first_with']} parameters (95% interval of "
                f"the first size with it: {_range(onset)}). Accuracy is {ends}; a guess scores {first['chance']:.2f}."
            )
        case OnsetVerdict.FROM_THE_START:
            return (
                f"{name} is there from the smallest size on: accuracy is {ends}, a guess scores {first['chance']:.2f}."
            )
        case OnsetVerdict.NOT_REACHED:
            return f"{name} is not reached at any size: accuracy is {ends}, a guess scores {first['chance']:.2f}."
        case verdict:
            return f"{name} is {verdict}: accuracy is {ends}, a guess scores {first['chance']:.2f}."


def _of_seeds(table: pd.DataFrame, ability: str, row: pd.Series) -> str:
    """Accuracy at a size: with its interval, or one value for each training seed."""
    rows = _last_step(table, ability)
    values = rows[rows["size"] == row["size"]]["value"]
    listed = (
        str(Interval.of(row, "value", "ci"))
        if len(values) == 1
        else f"{', '.join(f'{value:.2f}' for value in values)} by seed"
    )
    return f"{listed} at {row['size']}"


def _seeds(tables: dict[str, pd.DataFrame], ability: str) -> list[str]:
    """Sizes at which some training seeds have the ability and others lack it."""
    threshold = _onset(tables["onsets"], ability, "accuracy", "size")["threshold"]
    rows = _last_step(tables["ability"], ability)
    counts = (rows["value"] > threshold).groupby(rows["size"], sort=False).agg(["sum", "count"])
    split = counts[(counts["sum"] > 0) & (counts["sum"] < counts["count"])]
    listed = ", ".join(f"{row['sum']} of {row['count']} at {size}" for size, row in split.iterrows())
    return [f"Training seeds disagree on whether a model has it: {listed} do."] if listed else []


def _controls(tables: dict[str, pd.DataFrame]) -> list[str]:
    sentences = []
    measured = tables["ability"]
    for control in measured[measured["control"]]["ability"].unique():
        verdict = _onset(tables["onsets"], control, "accuracy", "size")["verdict"]
        accuracy = _accuracy(measured, control)
        called = (
            "is called emergent, which is wrong"
            if verdict == OnsetVerdict.EMERGENT
            else f"is not called emergent ({verdict})"
        )
        first, last = (Interval.of(accuracy.iloc[at], "value", "ci") for at in (0, -1))
        sentences.append(
            f"The control {words(control)} {called}: accuracy is {first} at the smallest size and {last} at the "
            "largest."
        )
    return sentences


def _faithful(row: pd.Series) -> str:
    return (
        f"At {row['size']}, {row['n_edges']:.0f} of {row['n_graph_edges']:.0f} edges ({row['edge_share']:.1%}) keep "
        f"{Interval.of(row, 'faithfulness', 'ci')} of the clean-corrupt gap on prompts "
        f"that they were not chosen on; 95% of {row['n_random']:.0f} random circuits of equal size, all of whose edges "
        f"lie on paths from embedding to logits, keep at most {row['random_p95']:.2g}. Circuits of bootstrap samples "
        f"of the prompts have a mean Jaccard index of {row['stability']:.2f}."
    )


def _composition(tables: dict[str, pd.DataFrame], size: str, graph: Graph) -> list[str]:
    roles, edges = (tables[name][tables[name]["size"] == size] for name in ("roles", "circuit_edges"))
    found = induction_edges(roles, edges, graph)
    if not found:
        return []
    writers, readers = (
        ", ".join(dict.fromkeys(name.removesuffix(".k") for name in names)) for names in zip(*found, strict=True)
    )
    return [
        f"In it, previous-token heads ({writers}) feed the keys of induction heads ({readers}), as their attention on "
        f"repeated segments names them."
    ]


def _ablation(ablation: pd.DataFrame, size: str) -> list[str]:
    here = ablation[ablation["size"] == size].set_index("condition")
    if "circuit heads" not in here.index:
        return []
    without = here.loc["circuit heads"]
    whole = here.loc["none", "accuracy"]
    count = len(str(without["heads"]).split())
    sentence = (
        f"Ablating {count} of its heads takes accuracy from {whole:.2f} to {Interval.of(without, 'accuracy', 'ci')}"
    )
    if "random heads of the same layers" not in here.index:
        return [f"{sentence}; the layers have too few other heads to compare with."]
    others = here.loc[["random heads of the same layers"], "accuracy"]
    return [
        f"{sentence}; ablating as many others of the same layers leaves {others.median():.2f} "
        f"(median of {len(others)} different choices, lowest {others.min():.2f})."
    ]


def _formation(onsets: pd.DataFrame, ability: str, size: str) -> list[str]:
    """What passed half of its way between which checkpoints, the earliest first."""
    here = onsets[(onsets["ability"] == ability) & (onsets["axis"] == "step") & (onsets["at"] == size)]
    here = here[~here["quantity"].isin(["effect", "edge effect", "faithfulness"])]
    reached = here[(here["first_with"] != "") & (here["last_without"] != "")]
    groups: dict[tuple[int, int], dict[str, list[str]]] = {}
    for row in reached.to_dict("records"):
        between = int(row["last_without"]), int(row["first_with"])
        subject = "the ability" if row["quantity"] == "accuracy" else f"{words(row['quantity'])} attention"
        subject = "copying" if row["quantity"] == "copying" else subject
        heads = [] if row["quantity"] == "accuracy" else [row["component"]]
        groups.setdefault(between, {}).setdefault(subject, []).extend(heads)
    if not groups:
        return []
    parts = []
    for (before, after), subjects in sorted(groups.items()):
        listed = [f"{subject} ({', '.join(heads)})" if heads else subject for subject, heads in subjects.items()]
        parts.append(f"between steps {before} and {after}, {', '.join(listed)}")
    order = "What falls between the same two checkpoints cannot be put in order." if len(reached) > len(groups) else ""
    return [f"Over training at {size}, each passes half of its way: {'; '.join(parts)}. {order}".strip()]


def _accuracy(table: pd.DataFrame, ability: str) -> pd.DataFrame:
    """Accuracy at the last step of each size's first seed, sizes ascending."""
    rows = _last_step(table, ability)
    return rows[rows["seed"] == rows.groupby("size")["seed"].transform("min")]


def _last_step(table: pd.DataFrame, ability: str) -> pd.DataFrame:
    """Accuracy at the last step of every seed, sizes ascending."""
    rows = table[(table["ability"] == ability) & (table["metric"] == "accuracy")]
    rows = rows[rows["step"] == rows.groupby(["size", "seed"])["step"].transform("max")]
    return rows.sort_values("n_parameters", kind="stable")


def _onset(onsets: pd.DataFrame, ability: str, quantity: str, axis: str) -> pd.Series:
    rows = onsets[(onsets["ability"] == ability) & (onsets["quantity"] == quantity) & (onsets["axis"] == axis)]
    return rows.iloc[0]


def _range(onset: pd.Series) -> str:
    low, high = onset["ci_low"] or "never", onset["ci_high"] or "never"
    return low if low == high else f"{low} to {high}"
