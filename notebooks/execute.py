"""Execute notebooks and keep their outputs: `make notebooks` does it for those whose outputs are stale.

A notebook's metadata hold a hash of its cells and the seconds that they took. No network is used.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MARK = "interp_emerge"
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONPATH": str(HERE.parent),
}
NO_WIDGETS = "IProgress not found"
"""What tqdm says where there are no widgets for its bars, which are switched off here."""
KEPT = ("image/png", "text/html", "text/plain")


def hash_of_cells(cells: list[dict[str, Any]]) -> str:
    """A hash of the types and texts of all cells; it changes with the notebook and not with its outputs."""
    content = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def is_stale(path: Path) -> bool:
    notebook = json.loads(path.read_text())
    return notebook["metadata"].get(MARK, {}).get("cells") != hash_of_cells(notebook["cells"])


def kept(output: Any) -> Any:
    """An output with those of its forms that viewers show."""
    if "data" in output:
        output["data"] = {kind: output["data"][kind] for kind in KEPT if kind in output["data"]}
    return output


def execute(path: Path) -> None:
    """Run a notebook in an empty folder and write it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(path, as_version=4)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}, record_timing=False).execute()
    seconds = round(time.perf_counter() - started)
    for at, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{at}"  # not a random one, so that the file changes only where the notebook does
        if "outputs" in cell:
            cell["outputs"] = [kept(output) for output in cell["outputs"] if NO_WIDGETS not in output.get("text", "")]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        MARK: {"cells": hash_of_cells(notebook.cells), "seconds": seconds},
    }
    nbformat.write(notebook, path)
    print(f"{path.name}: {seconds} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 01_quick_start; by default all")
    parser.add_argument("--all", action="store_true", help="also those whose outputs are up to date")
    given = parser.parse_args()
    os.environ.update(SETTINGS)
    for notebook in sorted(HERE.glob("*.ipynb")):
        if (not given.names or notebook.stem in given.names) and (given.all or is_stale(notebook)):
            execute(notebook)
