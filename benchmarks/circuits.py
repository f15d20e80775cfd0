"""How long runs of circuits take, as multiples of a bare forward pass over the same pairs; both ways of running them.

python -m benchmarks.circuits              # random weights of the shape of Pythia-160M, about three minutes
python -m benchmarks.circuits DIRECTORY    # a model of one's own, such as build/real/smollm2-135m, on indirect objects

Every ratio is of two times of one process. The slow way runs every node of every circuit.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
import torch

import interp_emerge as ie
from benchmarks.run import bare_forward, build, random_pairs
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.caching.recording import record
from interp_emerge.circuits.finding.null_circuits import NullKind, random_edges
from interp_emerge.core.graph import without_edges
from interp_emerge.patching.engines.circuit_run import circuit_values

EDGES, FEW, MANY = 300, 4, 32


def main(directory: str = "") -> None:
    """Print a row for each kind of circuits."""
    torch.set_num_threads(1)
    if directory:
        family = ie.load_family(directory)
        model = family.load(family.sizes[-1])
        pairs = ie.load_ability("indirect_object").sample(model, 16)
    else:
        model = build("160M")
        pairs = random_pairs(model)
    own, other = record(model, pairs.clean), record(model, pairs.corrupt)
    metric = bind_metric("logit_diff", model, pairs)
    bare = min(cpu_seconds(lambda: bare_forward(model, pairs)) for _ in range(3))
    print(f"{len(pairs)} pairs of {pairs.length} tokens, one thread; bare forward {bare:.2f} CPU seconds\n")
    print("| circuits | forwards each, shared | forwards each, slow way | times faster | largest difference |")
    print("|---|---|---|---|---|")
    for what, circuits in kinds(model):
        found = []

        def run(n: int, *, sharing: bool, circuits: list[np.ndarray] = circuits, found: list = found) -> None:
            masks = torch.from_numpy(np.stack(circuits[:n]))
            with model.running():
                found.append(circuit_values(model, masks, own, other, [metric], sharing=sharing)[0][:FEW])

        n = len(circuits)
        fast = cpu_seconds(lambda run=run, n=n: run(n, sharing=True)) / n / bare
        slow = cpu_seconds(lambda run=run: run(FEW, sharing=False)) / FEW / bare
        apart = float((found[0] - found[1]).abs().max())
        print(f"| {n} {what} | {fast:.2f} | {slow:.2f} | {slow / fast:.1f} | {apart:.0e} |", flush=True)


def kinds(model: ie.HookedModel) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Random circuits, the model without them, and one of them without each of some edges."""
    graph, drawn = model.graph, []
    for edges in random_edges(graph, NullKind.STRONGEST, EDGES, MANY):
        kept = np.zeros_like(graph.exists)
        kept.flat[edges] = True
        drawn.append(kept)
    yield f"random circuits of {EDGES} edges", drawn
    yield "models without such a circuit", [graph.exists & ~kept for kept in drawn]
    chosen = np.argwhere(drawn[0])[:: EDGES // MANY]
    yield "circuits without one edge", [graph.prune(without_edges(drawn[0], [edge])) for edge in chosen]


def cpu_seconds(work) -> float:
    """Processor time of the work, which other processes on the machine change less than the time that passes."""
    start = process_time()
    work()
    return process_time() - start


if __name__ == "__main__":
    main(*(str(Path(argument)) for argument in sys.argv[1:]))
