"""Sentences on what a study's tables show: each estimate with its interval, each claim with its null."""

import pandas as pd

from interp_emerge.core.graph import Graph
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import DependenceCriterion, DependenceVerdict
from interp_emerge.emergence.sameness.same_circuit.table import SameCircuitVerdict
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.report.numbers import Kind, between, in_text, is_missing, number, step
from interp_emerge.report.sentences.backing import CARRIED, CIRCUIT, GUESS, NEIGHBOURS, NO_CIRCUIT, OPEN, TRAINING
from interp_emerge.report.text import joined, words
from interp_emerge.stats.intervals import Interval

LEVELS = {"edges": "single edges", "classes": "roles of their ends"}
"""What circuits are compared by, in words; the classes of edges are given by the roles of their nodes."""
REMOVED = {"edges": "edges", "circuit": "heads"}
"""What is removed as a whole when a circuit is, by the kind of part in the table of dependence."""
MOST_NAMED = 8
"""So many ablated heads are named in the sentence; more are in the table."""
WIDE, MANY = 0.1, 100
"""A circuit of more than this share of all edges, and of more edges than this, locates little; its sentence says so."""


def question(ability: str, family: str) -> str:
    """The study's question."""
    return f"When does {words(ability)} emerge in the {family} family, and which circuit carries it?"


def answer(tables: dict[str, pd.DataFrame], ability: str, graphs: dict[str, Graph]) -> list[str]:
    """At most six sentences: the size, the circuit, its heads, what formed first, whether sizes agree, what is open.

    Args:
        tables: the study's tables, by name.
        ability: the ability in question.
        graphs: the graph of each size that has a circuit.
    """
    found = tables["circuits"]
    found = found[(found["ability"] == ability) & found["faithfulness"].notna()]
    sentences = [_scale(tables, ability)]
    if found.empty:
        return [*sentences, f"{NO_CIRCUIT}: {_reasons(tables['circuits'], ability)}."]
    largest = found.iloc[-1]
    here = (found["size"] == largest["size"]).idxmax()
    sentences.append(_faithful(found.loc[here]))
    sentences += _carried(tables, largest["size"], graphs[largest["size"]])
    sentences += _formation(tables["onsets"], ability, largest["size"])
    sentences += same_circuits(tables.get("comparisons", pd.DataFrame()))
    return sentences + unknown(tables, ability)


def induction_edges(roles: pd.DataFrame, edges: pd.DataFrame, graph: Graph) -> list[tuple[str, str]]:
    """Edges from a previous-token head to the keys of an induction head, both with all that their roles require."""
    holds = roles[roles["plays"]]
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
    """Where the ability appears over sizes, its accuracy at both ends, seeds that disagree, and the controls."""
    onset = _onset(tables["onsets"], ability, "accuracy", "size")
    accuracy = _accuracy(tables["ability"], ability)
    ends = accuracy if len(accuracy) == 1 else accuracy.iloc[[0, -1]]
    values = joined(_of_seeds(tables["ability"], ability, row) for _, row in ends.iterrows())
    appears = _appears(onset) if len(accuracy) > 1 else _at_one_size(accuracy.iloc[0], onset["threshold"])
    counts = f"{GUESS}{number(accuracy.iloc[0]['chance'])} and the ability counts as present above "
    more = "".join(f"; {part}" for part in [*_seeds(tables, ability), *_controls(tables)])
    return (
        f"{words(ability).capitalize()} {appears}: accuracy{_on_prompts(accuracy)} is {values}, {counts}"
        f"{number(onset['threshold'])}{more}."
    )


def _on_prompts(accuracy: pd.DataFrame) -> str:
    """On how many prompts the ability was measured, if it is the same number everywhere."""
    counts = accuracy["n_pairs"].dropna().unique()
    return f" on {number(counts[0], Kind.COUNT)} prompts" if len(counts) == 1 else ""


def _appears(onset: pd.Series) -> str:
    """The verdict on an ability over sizes, as the end of a sentence."""
    sizes = f"between {onset['last_without']} and {onset['first_with']} parameters (95% interval of the first "
    sizes += f"size with it {_range(onset)})"
    match onset["verdict"]:
        case OnsetVerdict.EMERGENT:
            return f"emerges {sizes}"
        case OnsetVerdict.GRADUAL:
            return f"grows gradually, every size before it certainly above near-chance, and appears {sizes}"
        case OnsetVerdict.EMERGENT_OR_GRADUAL:
            return f"appears {sizes}, whether from near chance is within noise ({onset['reason']})"
        case OnsetVerdict.COMES_AND_GOES:
            return "is present at some size, absent at a larger one, and present again at the largest"
        case OnsetVerdict.FROM_THE_START:
            return "is already present at the smallest size"
        case OnsetVerdict.NOT_REACHED:
            return "is not reached at any size"
        case OnsetVerdict.LOST_AGAIN:
            return "appears at some size, but is lost again at the largest"
        case verdict:
            return f"is {verdict} over sizes"


def _at_one_size(row: pd.Series, threshold: float) -> str:
    """The verdict on an ability in a study of one size, as the end of a sentence: nothing is said about scale."""
    where = f"at {row['size']}, the only size of this study"
    if is_missing(row["ci_low"]) or is_missing(threshold) or row["ci_low"] <= threshold < row["ci_high"]:
        return f"is neither certainly present nor certainly absent {where}"
    return f"is {'present' if row['ci_low'] > threshold else 'absent'} {where}"


def _reasons(circuits: pd.DataFrame, ability: str) -> str:
    """Why no size has a circuit: each reason with its sizes."""
    rows = circuits[circuits["ability"] == ability]
    sizes = rows.groupby("verdict", sort=False)["size"].unique()
    reasons = [f"{joined(map(str, at))}: {in_text(str(verdict).partition(': ')[2])}" for verdict, at in sizes.items()]
    return "; ".join(reasons) or "none was sought"


def _of_seeds(table: pd.DataFrame, ability: str, row: pd.Series) -> str:
    """Accuracy at a size: one value with its interval, or one value for each training seed."""
    rows = _last_step(table, ability)
    values = rows[rows["size"] == row["size"]]["value"]
    listed = (
        between(Interval.of(row, "value", "ci"))
        if len(values) == 1
        else f"{', '.join(number(value) for value in values)} by seed"
    )
    return f"{listed} at {row['size']}"


def _seeds(tables: dict[str, pd.DataFrame], ability: str) -> list[str]:
    """The sizes at which only some training seeds have the ability."""
    threshold = _onset(tables["onsets"], ability, "accuracy", "size")["threshold"]
    rows = _last_step(tables["ability"], ability)
    counts = (rows["value"] > threshold).groupby(rows["size"], sort=False).agg(["sum", "count"])
    split = counts[(counts["sum"] > 0) & (counts["sum"] < counts["count"])]
    listed = joined(f"in {row['sum']} of {row['count']} at {size}" for size, row in split.iterrows())
    return [f"training seeds disagree, the ability is present {listed}"] if listed else []


def _controls(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Whether the controls, which must not be called emergent, are."""
    parts = []
    measured = tables["ability"]
    for control in measured[measured["control"]]["ability"].unique():
        verdict = _onset(tables["onsets"], control, "accuracy", "size")["verdict"]
        called = "is called emergent, which is wrong" if verdict == OnsetVerdict.EMERGENT else "is not called emergent"
        parts.append(f"the control {words(control)} {called}")
    return parts


def _faithful(row: pd.Series) -> str:
    """The circuit's faithfulness, next to random circuits."""
    return (
        f"At {row['size']}, {number(row['n_edges'], Kind.COUNT)} of {number(row['n_graph_edges'], Kind.COUNT)} edges "
        f"({number(row['edge_share'], Kind.SHARE)}) keep {between(Interval.of(row, 'faithfulness', 'ci'))} {CIRCUIT}, "
        f"where 95% of {number(row['n_random'], Kind.COUNT)} random circuits of the same size keep at most "
        f"{number(row['random_p95'])}{_width(row)}."
    )


def _width(row: pd.Series) -> str:
    """A remark on a circuit that was not cut down to the edges it needs."""
    if row["edge_share"] <= WIDE or row["n_edges"] <= MANY:
        return ""
    return "; so wide a circuit locates little, and many of its edges may not be needed"


def _carried(tables: dict[str, pd.DataFrame], size: str, graph: Graph) -> list[str]:
    """The heads that carry the circuit, by their roles, and accuracy without the circuit's heads."""
    roles, edges = (tables[name][tables[name]["size"] == size] for name in ("roles", "circuit_edges"))
    found = induction_edges(roles, edges, graph)
    parts, named = [], set[str]()
    if found:
        writers, readers = (
            [*dict.fromkeys(name.removesuffix(".k") for name in names)] for names in zip(*found, strict=True)
        )
        parts.append(
            f"previous-token heads ({', '.join(writers)}) feed the keys of induction heads ({', '.join(readers)})"
        )
        named = {*writers, *readers}
    parts += _ablation(tables["ablation"], size, named)
    return [f"{CARRIED}{'; '.join(parts)}."] if parts else []


def _ablation(ablation: pd.DataFrame, size: str, known: set[str]) -> list[str]:
    """Accuracy without the circuit's heads, which are named unless known, next to random heads of the same layers."""
    here = ablation[ablation["size"] == size].set_index("condition")
    if "circuit heads" not in here.index:
        return []
    without = here.loc["circuit heads"]
    unablated = here.loc["none"]
    heads = str(without["heads"]).split()
    named = f" ({', '.join(heads)})" if len(heads) <= MOST_NAMED and not {*heads} <= known else ""
    part = (
        f"on the prompts that circuits are judged by, ablating its {len(heads)} head{'s' * (len(heads) != 1)}{named} "
        f"changes accuracy from {between(Interval.of(unablated, 'accuracy', 'ci'))} to "
        f"{between(Interval.of(without, 'accuracy', 'ci'))}"
    )
    if "random heads of the same layers" not in here.index:
        return [f"{part}, and these layers have too few other heads for a comparison"]
    others = here.loc[["random heads of the same layers"], "accuracy"]
    return [
        f"{part}, ablating as many random heads of the same layers to {number(others.median())} "
        f"(median of {len(others)} draw{'s' * (len(others) != 1)}, lowest {number(others.min())})"
    ]


def _formation(onsets: pd.DataFrame, ability: str, size: str) -> list[str]:
    """The quantities that crossed their half-way threshold between each two checkpoints, the earliest first."""
    here = onsets[(onsets["ability"] == ability) & (onsets["axis"] == "step") & (onsets["at"] == size)]
    here = here[~here["quantity"].isin(["effect", "edge effect", "faithfulness"])]
    reached = here[(here["first_with"] != "") & (here["last_without"] != "")]
    groups: dict[tuple[int, int], dict[str, list[str]]] = {}
    for row in reached.to_dict("records"):
        gap = int(row["last_without"]), int(row["first_with"])
        subject = "the ability" if row["quantity"] == "accuracy" else f"{words(row['quantity'])} attention"
        subject = "copying" if row["quantity"] == "copying" else subject
        heads = [] if row["quantity"] == "accuracy" else [row["component"]]
        groups.setdefault(gap, {}).setdefault(subject, []).extend(heads)
    if not groups:
        return []
    parts = []
    for (before, after), subjects in sorted(groups.items()):
        listed = [f"{subject} ({', '.join(heads)})" if heads else subject for subject, heads in subjects.items()]
        parts.append(f"between steps {step(before)} and {step(after)}, {joined(listed)}")
    tie = ", and those between the same two cannot be put in order" if len(reached) > len(groups) else ""
    return [f"{TRAINING}{size}, these reach half of their final value: {'; '.join(parts)}{tie}."]


def same_circuits(comparisons: pd.DataFrame) -> list[str]:
    """Which neighbouring sizes have the same circuit, as one sentence."""
    if comparisons.empty:
        return []
    first = comparisons.drop_duplicates(["size_a", "seed_a", "size_b", "seed_b", "level"])
    by_verdicts: dict[str, list[str]] = {}
    for (a, b), rows in first.groupby(["size_a", "size_b"], sort=False):
        verdicts = dict(zip(rows["level"], rows["verdict"], strict=False))
        alike = len({*verdicts.values()}) == 1
        listed = joined(f"{verdict} by {LEVELS.get(level, level)}" for level, verdict in verdicts.items())
        said = str(rows["verdict"].iloc[0]) if alike else listed
        by_verdicts.setdefault(said, []).append(f"{a} with {b}")
    parts = [f"{joined(pairs)}: {said}" for said, pairs in by_verdicts.items()]
    return [f"{NEIGHBOURS}{'; '.join(parts)}."]


def unknown(tables: dict[str, pd.DataFrame], ability: str) -> list[str]:
    """What the study leaves open, as one sentence; nothing if every verdict is reached."""
    parts = []
    jump = tables.get("jump", pd.DataFrame(columns=pd.Index(["ability", "verdict", "reason"])))
    jump = jump[jump["ability"] == ability]
    if len(jump) and jump["verdict"].iloc[0] == MirageVerdict.UNDECIDED:
        parts.append(f"whether the jump is the model's or the metric's ({jump['reason'].iloc[0]})")
    compared = tables.get("comparisons", pd.DataFrame())
    if len(compared):
        told = compared[compared["verdict"] == SameCircuitVerdict.CANNOT_BE_TOLD]
        pairs = told[["size_a", "size_b", "level"]].drop_duplicates().itertuples(index=False)
        parts += [
            f"whether the circuits of {a} and {b} are the same by {LEVELS.get(level, level)}" for a, b, level in pairs
        ]
    behind = tables.get("lags", pd.DataFrame(columns=pd.Index(["quantity", "verdict"])))
    behind = behind[behind["quantity"] == "edge effect"]
    n_open = int((behind["verdict"] == LagVerdict.UNRESOLVED).sum())
    parts += (
        [f"for {n_open} of the {len(behind)} edges of all circuits, whether they form before the ability"]
        if n_open
        else []
    )
    parts += _dependence(tables)
    parts += _other_seeds(tables, ability)
    return [f"{OPEN}{'; '.join(parts)}."] if parts else []


def _dependence(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Sizes at which removing the circuit is not shown to cost more than removing as much at random, at any step."""
    found = tables.get("dependence_onsets", pd.DataFrame())
    if found.empty:
        return []
    metric = tables["circuits"]["metric"].dropna().iloc[0]
    above = found[(found["criterion"] == DependenceCriterion.ABOVE_RANDOM) & (found["metric"] == metric)]
    shown = (DependenceVerdict.DEPENDS, DependenceVerdict.FROM_THE_START)
    open_ = above[above["kind"].isin([*REMOVED]) & ~above["verdict"].isin(shown)]
    listed = [f"{name} at {joined(open_[open_['kind'] == kind]['size'].unique())}" for kind, name in REMOVED.items()
              if (open_["kind"] == kind).any()]  # fmt: skip
    return [f"whether the ability depends more on the circuit than on random {' and on random '.join(listed)}"] * bool(
        listed
    )


def _other_seeds(tables: dict[str, pd.DataFrame], ability: str) -> list[str]:
    """What was not measured of further training seeds: no circuit was sought in them, though edges may be scored."""
    found = tables["circuits"]
    searched = {*found[found["ability"] == ability][["size", "seed"]].itertuples(index=False, name=None)}
    measured = {*tables["ability"][["size", "seed"]].itertuples(index=False, name=None)}
    sizes = {size for size, _ in searched}
    if not any(size in sizes for size, _ in measured - searched):
        return []
    compared = tables.get("comparisons", pd.DataFrame(columns=pd.Index(["comparison", "n"])))
    scored = "n" in compared and (compared[compared["comparison"] == "other seeds"]["n"] > 0).any()
    only = "only their accuracy was measured" + (", and their edges were scored to compare sizes" if scored else "")
    return [
        f"the circuits of other training seeds: a circuit was sought in one seed of each size, of the others {only}"
    ]


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
    """The row of one quantity on one axis."""
    rows = onsets[(onsets["ability"] == ability) & (onsets["quantity"] == quantity) & (onsets["axis"] == axis)]
    return rows.iloc[0]


def _range(onset: pd.Series) -> str:
    """The interval of the first size with an ability, as text."""
    return f"[{step(onset['ci_low'])}, {step(onset['ci_high'])}]"
