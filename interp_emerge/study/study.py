"""A study: one family, one ability with others beside it, and every stage from measuring to the report.

`Study.run` reads as the chain does. Each stage's results lie in cells on disk, so a run that was interrupted goes on
where it stopped, and a changed setting recomputes only what it changes.
"""

import json
import logging
import tomllib
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from interp_emerge.abilities import load_ability
from interp_emerge.abilities.metrics import FROM_LOGITS
from interp_emerge.circuits.roles.table import repeated_segments
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError, require_kind
from interp_emerge.core.files import canonical_json, hash_bytes, hash_of, write_atomically
from interp_emerge.families import load_family
from interp_emerge.patching import shelf as methods
from interp_emerge.report.build import build_report
from interp_emerge.report.sentences.answers import answer, question
from interp_emerge.study.cells import package_versions, same_threads
from interp_emerge.study.engine import CLAIM, Sweep, sweep
from interp_emerge.study.grid import Grid
from interp_emerge.study.plan import plan
from interp_emerge.study.results import Results, circuit_file
from interp_emerge.study.settings import StudySettings, settings_from
from interp_emerge.study.work import Work
from interp_emerge.tables.io import read_table, write_table
from interp_emerge.tables.schemas import SCHEMAS

PACKAGES = ("interp-emerge", "transformer-lens", "torch", "transformers", "numpy", "pandas")
log = logging.getLogger(__name__)


class Study:
    """A study with its directory.

    Raises:
        InputError: the settings contradict each other or hold a value that is not offered.
        UnknownNameError: a family, ability, size, step, seed, method or metric that is not there.
    """

    def __init__(self, settings: StudySettings | None = None, **fields: Any) -> None:
        if settings is not None:
            wanted = "options by name, such as sizes=('3k', '7k'), or ie.Study.load(path)"
            require_kind(settings, StudySettings, "the settings of a study", wanted)
        self.settings = settings or settings_from(fields, "these options")
        chosen = self.settings
        self.family = load_family(chosen.family)
        self.ability = load_ability(chosen.ability)
        self.beside = [load_ability(name) for name in dict.fromkeys(chosen.beside) if name != chosen.ability]
        if methods[chosen.method].scores != "edges":
            edges = [method.name for method in methods if method.scores == "edges"]
            raise InputError(f"a study needs a method that scores edges ({', '.join(edges)}), not {chosen.method!r}")
        if chosen.metric not in FROM_LOGITS:
            raise UnknownNameError("metric", chosen.metric, FROM_LOGITS)
        if chosen.metric == "accuracy":
            raise InputError("circuits need a metric with a gradient, such as logit_diff; accuracy is measured anyway")
        self.grid = Grid(self.family, chosen)
        self.out = Path(chosen.out or f"runs/{self.family.name}-{self.ability.name}")

    @property
    def sizes(self) -> list[str]:
        """Sizes that the study looks at, from small to large."""
        return self.grid.sizes

    @property
    def report(self) -> Path:
        """Where the report is, or will be."""
        return self.out / "report.html"

    @classmethod
    @checked
    def load(cls, path: str | Path, **fields: Any) -> "Study":
        """The study that a TOML file describes; settings given as keywords win over the file's.

        Raises:
            InputError: the file is missing, no TOML, or has a field or value that studies do not know.
        """
        try:
            written = tomllib.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path} is not a study file: {error}") from error
        return cls(settings_from({**written, **fields}, str(path)))

    def run(self, *, workers: int = 1, scheduler: str = "") -> Path:
        """Run every stage that is not on disk yet; returns the path of the report.

        The tables are the same, byte by byte, whether a study ran at once, was interrupted, or was spread. Workers
        know what a script registers only if its call stands under `if __name__ == "__main__":`.

        Args:
            workers: processes of this machine to spread the work over.
            scheduler: address of a dask scheduler whose workers do it instead, such as `tcp://host:8786`; they need
                these packages, the family, and the study's directory under the same path.

        Raises:
            InputError: the directory belongs to another study, a tokenizer cannot express the ability, or workers do
                not see what this process sees.
            ModelError: a checkpoint cannot be loaded or split.
        """
        if self._is_finished():
            return self.report
        started = _now()
        work = self._work()
        with same_threads():
            self._require_expressible(work)
            self._claim()
            with sweep(self._work(), workers=workers, scheduler=scheduler) as each:
                results = self._sweep(each)
            return self._write(results, started)

    def table(self, name: str) -> pd.DataFrame:
        """One of the study's tables, from disk: `ability`, `circuits`, `onsets`, ….

        Raises:
            UnknownNameError: studies write no table of that name.
            InputError: the study has not run yet.
        """
        if name not in SCHEMAS:
            raise UnknownNameError("table", name, SCHEMAS)
        return read_table(name, self.out / "tables")

    def plan(self, *, workers: int = 1) -> pd.DataFrame:
        """What `run` would compute and what it would reuse, stage by stage, without loading a model: see `plan`."""
        self._require_own_directory()
        return plan(self._work(), workers=workers)

    def _work(self) -> Work:
        chosen = self.settings
        return Work(
            family=self.family,
            settings=chosen,
            directory=self.out,
            ability=self.ability,
            abilities=[self.ability, *self.beside],
            device=chosen.device,
            threads=chosen.threads,
        )

    def _sweep(self, each: Sweep) -> Results:
        """Measure every model, find the circuits of the last ones, follow these through training, compare sizes."""
        results = self._results()
        for (at,), measured in each("measure", [(at,) for at in self.grid.models]):
            results.measured[at] = measured
        if warnings := [measured.warning for measured in results.measured.values() if measured.warning]:
            log.warning(warnings[-1])
        for (at,), located in each("locate", [(at,) for at in self.grid.last]):
            results.located[at] = located
        circuits = [at for at, located in results.located.items() if located.found]
        tasks = self._work().tasks(circuits)
        for (at, step), formed in each("follow", tasks["follow"]):
            results.formation.setdefault(at, {})[step] = formed
        for (at,), tables in each("depend", tasks["depend"]):
            results.dependence[at] = tables
        for (a, b), compared in each("compare", tasks["compare"]):
            results.comparisons[a, b] = compared
        return results

    def _write(self, results: Results, started: datetime) -> Path:
        """Tables, circuits, attention, provenance, report."""
        tables = results.tables()
        for name, table in tables.items():
            write_table(table, name, self.out / "tables")
        files: dict[str, bytes] = {}
        for place, (at, found) in enumerate(reversed(results.circuits.items())):
            files[circuit_file(at, self.ability.name)] = found.circuit.to_json()
            name = f"attention/{place:02d}-{self.ability.name}-{at[0]}-seed{at[2]}.json"
            files[name] = found.attention.encode()
        self._replace_files(files)
        graphs = {at[0]: found.circuit.graph for at, found in results.circuits.items()}
        said = {
            "question": question(self.ability.name, self.family.name),
            "answer": answer(tables, self.ability.name, graphs),
            "command": self.settings.command,
            "versions": {package: version(package) for package in PACKAGES},
            "models": [
                {**self.family.spec(*at).to_dict(), "prepended": results.measured[at].prepended}
                for at in self.grid.models
            ],
            "settings": self.settings.model_dump(mode="json"),
        }
        times = {"started": started.isoformat(timespec="seconds"), "finished": _now().isoformat(timespec="seconds")}
        self.report.unlink(missing_ok=True)
        provenance = {**said, **times, "state": self._state()}
        write_atomically(self.out / "provenance.json", json.dumps(provenance, indent=1).encode())
        return build_report(self.out)

    def _is_finished(self) -> bool:
        """Whether the directory holds the report of just this study, on these weights, with its tables untouched."""
        try:
            state = json.loads((self.out / "provenance.json").read_text())["state"]
        except (OSError, ValueError, KeyError):
            return False
        return self.report.is_file() and state == self._state()

    def _state(self) -> str:
        """Hash of all that the report follows from: settings, weights, versions, and the files that it shows."""
        specs = [self.family.spec(*at).to_dict() for at in self.grid.models]
        shown = (path for folder in ("tables", "circuits", "attention") for path in (self.out / folder).glob("*.*"))
        files = [[path.name, hash_bytes(path.read_bytes())] for path in sorted(shown)]
        return hash_of([self.settings.model_dump(mode="json"), specs, package_versions(), files])

    def _replace_files(self, files: dict[str, bytes]) -> None:
        """Write the circuits and attention patterns, and remove those of earlier settings."""
        for folder in ("circuits", "attention"):
            for path in (self.out / folder).glob("*.json"):
                if f"{folder}/{path.name}" not in files:
                    path.unlink()
        for name, content in files.items():
            write_atomically(self.out / name, content)

    def _results(self) -> Results:
        chosen = self.settings
        return Results(
            family=self.family,
            ability=self.ability,
            abilities=[self.ability, *self.beside],
            axis=chosen.axis,
            method=chosen.method,
            metric=chosen.metric,
            target=chosen.target,
            n_random=chosen.n_random,
            sizes=self.grid.sizes,
        )

    def _require_expressible(self, work: Work) -> None:
        """Raise unless the model can be asked about the ability and its heads' roles; leave out what else it cannot."""
        model = work.models.get(*self.grid.models[0])
        self.ability.sample(model, 2, self.settings.seed)
        repeated_segments(model, 2)
        for other in list(self.beside):
            try:
                other.sample(model, 2, self.settings.seed)
            except InputError as error:
                log.warning("%s is not measured: %s", other.name, error)
                self.beside.remove(other)

    def _claim(self) -> None:
        """Take the output directory, and clear what a killed run left half-written."""
        self._require_own_directory()
        for unfinished in self.out.rglob(".*.tmp"):
            unfinished.unlink()
        write_atomically(self.out / CLAIM, canonical_json(self.settings.model_dump(mode="json")))

    def _require_own_directory(self) -> None:
        """Raise if the output directory holds something else."""
        path = self.out / CLAIM
        mine = {"family": self.settings.family, "ability": self.settings.ability}
        if path.is_file():
            theirs = json.loads(path.read_text())
            if {key: theirs.get(key) for key in mine} != mine:
                raise InputError(f"{self.out} belongs to a study of {theirs.get('ability')} in {theirs.get('family')}; "
                                 "choose another --out or remove it")  # fmt: skip
        elif self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise InputError(f"{self.out} exists and is not the directory of a study; choose another --out")


def _now() -> datetime:
    return datetime.now(UTC)
