"""A study: one family, one ability with others beside it, and every stage from measuring to the report.

`Study.run` reads as the chain does. Each stage's results lie in cells on disk, so a run that was interrupted goes on
where it stopped, and a changed setting recomputes only what it changes.
"""

import json
import logging
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities import load_ability
from interp_emerge.abilities._metrics import METRICS
from interp_emerge.circuits.roles import repeated_segments
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.files import canonical_json, hash_bytes, hash_of, write_atomically
from interp_emerge.core.memory import CPU_BUDGET
from interp_emerge.core.tables import SCHEMAS, read_table, write_table
from interp_emerge.emergence.answers import answer, question
from interp_emerge.emergence.formation import heads_to_follow
from interp_emerge.families import load_family
from interp_emerge.patching import shelf as methods
from interp_emerge.report.build import build_report
from interp_emerge.sweeps.cells import Models, package_versions, same_threads
from interp_emerge.sweeps.results import Results, circuit_file
from interp_emerge.sweeps.settings import StudySettings, settings_from
from interp_emerge.sweeps.stages import At, Stages

FEWEST_TO_COMPARE = 6
"""Pairs below which two circuits cannot be compared by halves: three groups of two."""
SECOND_METHOD = "eap"
"""Edge method whose scores stand beside those of the study's own."""
PACKAGES = ("interp-emerge", "transformer-lens", "torch", "transformers", "numpy", "pandas")
log = logging.getLogger(__name__)


class Study:
    """A study with its directory.

    Raises:
        InputError: the settings contradict each other or hold a value that is not offered.
        UnknownNameError: a family, ability, size, step, seed, method or metric that is not there.
    """

    def __init__(self, settings: StudySettings | None = None, **fields: Any) -> None:
        self.settings = settings or settings_from(fields, "these options")
        chosen = self.settings
        self.family = load_family(chosen.family)
        self.ability = load_ability(chosen.ability)
        self.beside = [load_ability(name) for name in dict.fromkeys(chosen.beside) if name != chosen.ability]
        if methods[chosen.method].scores != "edges":
            edges = [method.name for method in methods if method.scores == "edges"]
            raise InputError(f"a study needs a method that scores edges ({', '.join(edges)}), not {chosen.method!r}")
        if chosen.metric not in METRICS:
            raise UnknownNameError("metric", chosen.metric, METRICS)
        if chosen.metric == "accuracy":
            raise InputError("circuits need a metric with a gradient, such as logit_diff; accuracy is measured anyway")
        self.sizes = self._sizes()
        self.out = Path(chosen.out or f"runs/{self.family.name}-{self.ability.name}")

    @property
    def report(self) -> Path:
        """Where the report is, or will be."""
        return self.out / "report.html"

    @classmethod
    def load(cls, path: str | Path, **fields: Any) -> "Study":
        """The study that a TOML file describes; settings given as keywords win over the file's.

        Raises:
            InputError: the file is missing, no TOML, or has a field or value that studies do not know.
        """
        try:
            written = tomllib.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path} is no study file: {error}") from error
        return cls(settings_from({**written, **fields}, str(path)))

    def run(self) -> Path:
        """Run every stage that is not on disk yet; returns the path of the report.

        Raises:
            InputError: the directory belongs to another study, or a tokenizer cannot express the ability.
            ModelError: a checkpoint cannot be loaded or split.
        """
        if self._is_finished():
            return self.report
        started = _now()
        models = Models(self.family, device=self.settings.device, dtype=self.settings.dtype)
        with same_threads():
            self._require_expressible(models)
            self._claim()
            stages = Stages(models, self.settings, self.out)
            results = self._results()
            self._measure(stages, results)
            self._locate(stages, results)
            self._follow(stages, results)
            self._compare(stages, results)
            return self._write(models, stages, results, started)

    def table(self, name: str) -> pd.DataFrame:
        """One of the study's tables, from disk: `ability`, `circuits`, `onsets`, ….

        Raises:
            UnknownNameError: studies write no table of that name.
            InputError: the study has not run yet.
        """
        if name not in SCHEMAS:
            raise UnknownNameError("table", name, SCHEMAS)
        return read_table(name, self.out / "tables")

    def plan(self) -> pd.DataFrame:
        """What `run` would do, without loading a model: `stage`, `models`, how many are `done`, what each `needs`."""
        self._require_own_directory()
        models = Models(self.family, device=self.settings.device, dtype=self.settings.dtype)
        stages = Stages(models, self.settings, self.out)
        grid, last = self._grid(), self._last()
        measured = sum(all(stages.is_measured(at, a) for a in (self.ability, *self.beside)) for at in grid)
        circuits = "only models with the ability"
        rows = [
            ("measure", len(grid), measured, f"{self.settings.n_measured} prompts an ability"),
            ("node scores and roles", len(last), None, f"{self.settings.n_pairs} pairs a node"),
            (
                "circuits",
                len(last),
                None,
                f"{circuits}; {self.settings.n_random} random ones and {self.settings.n_resamples} samples each",
            ),
            ("formation", len([at for at in grid if at[2] == self._first_seed(at[0])]), None, circuits),
        ]
        plan = pd.DataFrame(rows, columns=["stage", "models", "done", "needs"])
        return plan.assign(memory=f"one model and up to {CPU_BUDGET >> 20} MiB")

    def _measure(self, stages: Stages, results: Results) -> None:
        """Every ability at every size, step and seed."""
        for at in _progress(self._grid(), "measure"):
            results.described[at] = stages.describe(at)
            for ability in results.abilities:
                results.measured[at, ability.name] = stages.measure(at, ability)

    def _locate(self, stages: Stages, results: Results) -> None:
        """Node effects and roles at every size's last step, and the circuit where the ability is there."""
        for at in _progress(self._last(), "locate"):
            results.nodes[at] = stages.node_scores(at, self.ability)
            results.roles[at] = stages.roles(at)
            if not results.has_ability(at):
                accuracy = results.accuracy(at, self.ability.name).mean()
                results.without[at] = f"no circuit: the model lacks the ability (accuracy {accuracy:.2f})"
                continue
            for method in dict.fromkeys((self.settings.method, SECOND_METHOD)):
                results.edges[at, method] = stages.edge_scores(at, self.ability, method)
            circuit = stages.circuit(at, self.ability)
            if not len(circuit):
                results.without[at] = "no circuit: the clean-corrupt gap is within noise, or no edge reaches the logits"
                continue
            results.circuits[at] = circuit
            results.evaluations[at] = stages.evaluation(at, self.ability, circuit)
            results.stabilities[at] = stages.stability(at, self.ability, circuit)
            results.ablations[at] = stages.ablation(at, self.ability, circuit)

    def _follow(self, stages: Stages, results: Results) -> None:
        """Each circuit's heads and faithfulness at every step of its size, and what its loss costs there."""
        jobs = [(at, step) for at in results.circuits for step in self._steps(at[0], at[2])]
        for at, step in _progress(jobs, "follow"):
            circuit = results.circuits[at]
            follow = heads_to_follow(results.roles[at], circuit)
            cell = stages.formation((at[0], step, at[2]), self.ability, circuit, follow)
            results.formation.setdefault(at, {})[step] = cell
        for at in _progress(list(results.circuits), "depend"):
            steps = self._steps(at[0], at[2])
            results.dependence[at] = stages.dependence(at, self.ability, results.circuits[at], steps)

    def _compare(self, stages: Stages, results: Results) -> None:
        """The circuits of neighbouring sizes, against resamples of themselves and random circuits."""
        if self.settings.n_pairs < FEWEST_TO_COMPARE:
            return
        for a, b in _progress(list(pairwise(results.circuits)), "compare"):
            circuits = results.circuits[a], results.circuits[b]
            levels: tuple[Literal["edges", "classes"], ...] = ("edges", "classes")
            seeds = [(a[0], self._steps(a[0], seed)[-1], seed) for seed in self._seeds(a[0]) if seed != a[2]]
            has = [at for at in seeds if results.has_ability(at)]
            results.comparisons[a, b] = [
                stages.comparison(a, b, self.ability, circuits, level, seeds=has) for level in levels
            ]

    def _write(self, models: Models, stages: Stages, results: Results, started: datetime) -> Path:
        """Tables, circuits, attention, provenance, report."""
        tables = results.tables()
        for name, table in tables.items():
            write_table(table, name, self.out / "tables")
        files: dict[str, bytes] = {}
        for place, (at, circuit) in enumerate(reversed(results.circuits.items())):
            files[circuit_file(at, self.ability.name)] = circuit.to_json()
            shown = stages.attention(at, self.ability, circuit)
            files[f"attention/{place:02d}-{self.ability.name}-{at[0]}-seed{at[2]}.json"] = shown.encode()
        self._replace_files(files)
        graphs = {at[0]: circuit.graph for at, circuit in results.circuits.items()}
        said = {
            "question": question(self.ability.name, self.family.name),
            "answer": answer(tables, self.ability.name, graphs),
            "command": self.settings.command,
            "versions": {package: version(package) for package in PACKAGES},
            "models": [models.spec(*at).to_dict() for at in self._grid()],
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
        specs = [self.family.spec(*at).to_dict() for at in self._grid()]
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

    def _grid(self) -> list[At]:
        return [(s, step, seed) for s in self.sizes for seed in self._seeds(s) for step in self._steps(s, seed)]

    def _last(self) -> list[At]:
        return [(s, self._steps(s, self._first_seed(s))[-1], self._first_seed(s)) for s in self.sizes]

    def _first_seed(self, size: str) -> int:
        return self._seeds(size)[0]

    def _sizes(self) -> list[str]:
        asked = self.settings.sizes
        for size in asked:
            if size not in self.family.sizes:
                raise UnknownNameError(f"size of {self.family.name}", size, self.family.sizes)
        return [size for size in self.family.sizes if not asked or size in asked]

    def _seeds(self, size: str) -> list[int]:
        there = self.family.seeds(size)
        asked = self.settings.seeds
        known = sorted({seed for s in self.sizes for seed in self.family.seeds(s)})
        for seed in asked:
            if seed not in known:
                raise UnknownNameError(f"seed of {self.family.name}", seed, known)
        return [seed for seed in there if not asked or seed in asked] or there[:1]

    def _steps(self, size: str, seed: int) -> list[int]:
        there, asked = self.family.steps(size, seed), self.settings.steps
        if asked == "last":
            return there[-1:]
        if asked == "spaced":
            return self.family.spaced_steps(size, seed)
        for step in asked:
            if step not in there:
                raise UnknownNameError(f"step of {self.family.name}/{size}", step, there)
        return sorted(set(asked))

    def _results(self) -> Results:
        chosen = self.settings
        return Results(
            ability=self.ability,
            abilities=[self.ability, *self.beside],
            method=chosen.method,
            metric=chosen.metric,
            target=chosen.target,
            n_random=chosen.n_random,
            sizes=self.sizes,
        )

    def _require_expressible(self, models: Models) -> None:
        """Raise unless the model can be asked about the ability and its heads' roles; leave out what else it cannot."""
        model = models.get(*self._grid()[0])
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
        write_atomically(self.out / "study.json", canonical_json(self.settings.model_dump(mode="json")))

    def _require_own_directory(self) -> None:
        """Raise if the output directory holds something else."""
        path = self.out / "study.json"
        mine = {"family": self.settings.family, "ability": self.settings.ability}
        if path.is_file():
            theirs = json.loads(path.read_text())
            if {key: theirs.get(key) for key in mine} != mine:
                raise InputError(f"{self.out} belongs to a study of {theirs.get('ability')} in {theirs.get('family')}; "
                                 "choose another --out or remove it")  # fmt: skip
        elif self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise InputError(f"{self.out} exists and is no study's directory; choose another --out")


def _now() -> datetime:
    return datetime.now(UTC)


def _progress(items: Iterable[Any], stage: str) -> Iterator[Any]:
    return iter(tqdm(list(items), desc=stage, unit="model"))
