"""How often the tests of a circuit reject a true null hypothesis, at a level of 0.05.

python analyses/test_calibration/run.py          # prints the table
python analyses/test_calibration/run.py --keep   # and writes it between the markers of README.md, and draws figure.svg
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

import interp_emerge as ie
from interp_emerge.circuits import finding, running, testing

HERE = Path(__file__).parent
START, END = "<!-- measured -->\n", "<!-- end of measured -->"
LEVEL, EDGES, DRAWS = 0.05, 24, 20


def main(*, keep: bool) -> None:
    """Print a row for each null hypothesis: the number of simulations, and the share of them that reject."""
    study = ie.Study.load(HERE / "study.toml")
    model = study.family.load(size=study.sizes[0], step="last", seed=0)
    pairs = ie.load_ability(study.settings.ability).sample(model, n=study.settings.n_pairs, seed=0)
    p_values = of_simulated_values() | of_random_circuits(model, pairs, 300) | of_random_edges(model, pairs, 150)
    table = pd.DataFrame([row(test, null, np.array(found)) for (test, null), found in p_values.items()])
    text = as_markdown(table)
    print(text)
    if keep:
        page = HERE / "README.md"
        before, _, rest = page.read_text().partition(START)
        page.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}")
        drawn = table.assign(of=table["test"] + ": " + table["null"])
        about: dict[str, Any] = {"thing": "of", "title": f"share of simulations that reject at {LEVEL}"}
        ie.figures.interval_dots(drawn, value="rejected", mark=LEVEL, **about).save(HERE / "figure.svg")


def row(test: str, null: str, p_values: np.ndarray) -> dict:
    """The share of p-values that are at most the level, with its exact binomial interval."""
    rejected = int((p_values <= LEVEL).sum())
    interval = binomtest(rejected, len(p_values)).proportion_ci(method="exact")
    share = {"rejected": rejected / len(p_values), "rejected_low": interval.low, "rejected_high": interval.high}
    return {"test": test, "null": null, "simulations": len(p_values), **share}


def as_markdown(table: pd.DataFrame) -> str:
    head = "| test | where its null holds | simulations | rejected at 0.05 | 95% interval |\n|---|---|---|---|---|\n"
    line = "| {test} | {null} | {simulations} | {rejected:.3f} | {rejected_low:.3f} to {rejected_high:.3f} |\n"
    return head + "".join(line.format_map(row) for row in table.to_dict("records"))


def of_simulated_values(n_pairs: int = 64) -> dict:
    """P-values of equivalence inside and at the edge of its null, and of independence, for simulated values."""
    rng, found = np.random.default_rng(0), {}
    for share in (0.5, 0.6):
        signs = np.where(rng.random((2000, n_pairs)) < share, 1.0, -1.0)
        where = f"better on a pair with probability {share}"
        found["equivalence", where] = [testing.equivalence(row, np.zeros(n_pairs)).p_value for row in signs]
    draws = [(rng.exponential(1, n_pairs), rng.normal(0, 1, n_pairs)) for _ in range(12000)]
    options: dict[str, Any] = {"n_permutations": 99}
    of = [testing.independence(*both, **options, seed=seed).p_value for seed, both in enumerate(draws)]
    return found | {("independence", f"{n_pairs} independent pairs of values"): of}


def of_random_circuits(model, pairs, n: int) -> dict:
    """P-values of sufficiency and partial necessity, for a random circuit compared with others drawn the same way."""
    graph, found = model.graph, {}
    for name, draw in (("connected", finding.random_connected_circuits), ("any", running.random_circuits)):
        circuits = draw(graph, EDGES, n * DRAWS, seed=1)
        left = [graph.exists & ~kept for kept in circuits]
        for test, of in ((testing.sufficiency, circuits), (testing.partial_necessity, left)):
            runs = ie.Runs(model, pairs).evaluations(of)
            values = np.stack([run.metric for run in runs]).reshape(n, DRAWS, -1)
            where = f"a random circuit among {DRAWS - 1} others ({name})"
            found[test.__name__.replace("_", " "), where] = [
                test(row[0], row[1:], runs[0].clean).p_value for row in values
            ]
    return found


def of_random_edges(model, pairs, n: int) -> dict:
    """P-values of minimality of a random connected circuit: for one of its edges, and for all of them."""
    rng, of_an_edge, of_all = np.random.default_rng(2), [], []
    for seed, kept in enumerate(finding.random_connected_circuits(model.graph, EDGES, n, seed=3)):
        circuit = ie.Circuit(graph=model.graph, kept=kept, scores=np.zeros(kept.shape))
        options: dict[str, Any] = {"n_random": 1, "n_permutations": 1, "n_inflated": 59}
        found = testing.hypothesis_tests(ie.Runs(model, pairs, seed=seed), circuit, **options)
        of_an_edge.append(rng.choice(found.edges["p_value"]))
        of_all.append(found.to_frame().set_index("test")["p_value"]["minimality"])
    where = "a random connected circuit"
    return {("minimality, one edge", where): of_an_edge, ("minimality, all edges", where): of_all}


if __name__ == "__main__":
    main(keep="--keep" in sys.argv[1:])
