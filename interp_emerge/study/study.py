"""A study: one family, one ability in question and others for comparison, from measuring to the report.

`Study.run` performs the steps in order. Every result is a cell on disk, so an interrupted run continues where it
stopped, and a changed setting recomputes only the results that depend on it.
"""

import json
import logging
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from interp_emerge.abilities.metrics import FROM_LOGITS
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION
from interp_emerge.circuits.roles.repeated import repeated_segments
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, ModelError, UnknownNameError, require_kind
from interp_emerge.core.files import canonical_json, hash_bytes, hash_of, write_atomically
from interp_emerge.core.record import Record
from interp_emerge.families import load_family, read_size
from interp_emerge.families.base import Family
from interp_emerge.patching import shelf as methods
from interp_emerge.probing import shelf as probes
from interp_emerge.probing.base import Decoder, Intervention
from interp_emerge.report.build import build_report
from interp_emerge.report.reading import read_provenance
from interp_emerge.report.sentences.answers import answer, question
from interp_emerge.study.catalogue import all_tables, filled
from interp_emerge.study.cells import package_versions, same_threads
from interp_emerge.study.chosen import chosen_abilities, fitted_to_rows, with_usual_beside
from interp_emerge.study.duration import expected, in_words
from interp_emerge.study.earlier import changes, claimed, free_name, what_happens
from interp_emerge.study.engine import CLAIM, sweep
from interp_emerge.study.grid import Grid
from interp_emerge.study.plan import downloads, models_with_circuits, plan
from interp_emerge.study.rounds import ROUNDS
from interp_emerge.study.settings import StudySettings, settings_from
from interp_emerge.study.stages import in_order, of_round
from interp_emerge.study.stages.abilities import ABILITIES, first_token
from interp_emerge.study.stages.base import Results
from interp_emerge.study.stages.circuit import circuits
from interp_emerge.study.work import Work
from interp_emerge.tables.io import read_table, write_table

PACKAGES = ("interp-emerge", "transformer-lens", "torch", "transformers", "numpy", "pandas")
PROVENANCE = "provenance.json"
NO_BETTER = "no other first token that was tried is clearly better"
log = logging.getLogger(__name__)


class Study(Record):
    """A study and its directory.

    Example:
        >>> study = ie.Study(family="miniature", ability="induction", sizes=("3k", "7k"), out="runs/mine")
        >>> print(study.plan())  # study.run() computes it and returns the report's path

    Raises:
        InputError: the settings contradict each other, or a value is not allowed.
        UnknownNameError: there is no family, ability, size, step, seed, method or metric of a given name.
    """

    def __init__(self, settings: StudySettings | None = None, **fields: Any) -> None:
        if isinstance(fields.get("family"), Family):
            fields["family"] = fields["family"].address
        if settings is not None:
            wanted = "options by name, such as sizes=('3k', '7k'), or ie.Study.load(path)"
            require_kind(settings, StudySettings, "the settings of a study", wanted)
        given = with_usual_beside(settings or settings_from(fields, "these options"))
        self.family = load_family(given.family)
        if given.disk_budget:
            read_size(given.disk_budget)
        self.ability, *self.beside = chosen_abilities(given)
        chosen = self.settings = fitted_to_rows(given, [self.ability, *self.beside])
        if methods[chosen.method].scores != "edges":
            edges = [method.name for method in methods if method.scores == "edges"]
            raise InputError(f"a study needs a method that scores edges ({', '.join(edges)}), not {chosen.method!r}")
        if chosen.metric not in FROM_LOGITS:
            raise UnknownNameError("metric", chosen.metric, FROM_LOGITS)
        if chosen.metric == "accuracy":
            raise InputError(
                "circuits need a metric with a gradient, such as logit_diff; accuracy is always measured as well"
            )
        _require_probes(chosen)
        self.grid = Grid(self.family, chosen)
        self.out = Path(chosen.out or f"runs/{self.family.name.replace(':', '-')}-{self.ability.name}")

    def __repr__(self) -> str:
        return f"Study({self.ability.name!r} in {self.family.name!r}, {len(self.sizes)} sizes, in {str(self.out)!r})"

    @property
    def sizes(self) -> list[str]:
        """The study's sizes, from small to large."""
        return self.grid.sizes

    @property
    def report(self) -> Path:
        """Path of the report, whether it exists yet or not."""
        return self.out / "report.html"

    @classmethod
    @checked
    def load(cls, path: str | Path, **fields: Any) -> "Study":
        """The study that a TOML file describes; settings given as keywords override those of the file.

        Raises:
            InputError: the file is missing, is not TOML, or has an unknown field or a value that is not allowed.
        """
        try:
            written = tomllib.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path} is not a study file: {error}") from error
        return cls(settings_from({**written, **fields}, str(path)))

    def run(self, *, workers: int = 1, scheduler: str = "") -> Path:
        """Run every stage that is not on disk yet; returns the path of the report.

        The tables are the same, byte for byte, whether the study ran in one go, was interrupted, or used several
        workers. Workers know the abilities and families that a script registers only if the script calls `run` under
        `if __name__ == "__main__":`.

        Args:
            workers: number of processes on this machine that share the work.
            scheduler: address of a dask scheduler whose workers do the work instead, such as `tcp://host:8786`. They
                need the same packages, the family, and the study's directory under the same path.

        Raises:
            InputError: the directory belongs to another study, a tokenizer cannot express the ability, or a worker has
                other packages, another family or another directory than this process.
            ModelError: a checkpoint cannot be loaded or split.
        """
        if self._is_finished():
            return self.report
        started = _now()
        if replaced := self.what_is_replaced():
            log.warning(replaced)
        with same_threads():
            self._require_expressible()
            self._claim()
            self._warn_of_faults()
            results = self._compute(workers, scheduler)
            self._write(results, started)
        return build_report(self.out)

    def table(self, name: str) -> pd.DataFrame:
        """One of the study's tables, read from disk: `ability`, `circuits`, `onsets` and so on.

        Raises:
            UnknownNameError: no table of a study has that name.
            InputError: the study has not run yet.
        """
        tables = all_tables()
        if name not in tables:
            raise UnknownNameError("table", name, tables)
        return read_table(tables[name], self.out / "tables")

    def findings(self) -> list[str]:
        """The answer at the top of the report, sentence by sentence, with what limits it.

        Raises:
            InputError: the study has not run yet.
        """
        return [*read_provenance(self.out / PROVENANCE).answer]

    def plan(self, *, workers: int = 1) -> pd.DataFrame:
        """What `run` would compute and what it would reuse, stage by stage (see `plan`); no model is loaded."""
        self._require_own_directory()
        return plan(self._work(), workers=workers)

    def downloads(self) -> str:
        """What `run` would download, in words, for `--dry-run`; empty if every model is on this machine.

        Raises:
            ModelError: something has to be downloaded, and the hub cannot be reached.
        """
        return downloads(self._work())

    def first_token(self) -> str:
        """What stands first in every prompt, in words, with a warning if the model predicts text better after another.

        Looked at in the last model of the smallest size. Empty if that model would have to be downloaded.
        """
        if not self._can_look():
            return ""
        self._require_own_directory()
        with same_threads():
            first, warning = first_token(self._work(read_only=True))
        return f"{first or 'nothing'} stands first in every prompt; {warning or NO_BETTER}"

    def what_is_replaced(self) -> str:
        """What `run` does with an earlier report in its directory, in words; empty if there is none to replace."""
        different = changes(self.out / PROVENANCE, self.settings.model_dump(mode="json"), self._ability_keys)
        return what_happens(self.report, different) if different and self.report.is_file() else ""

    def expected_time(self) -> str:
        """How long `run` will take on this machine, in words, from one timed forward pass of each size.

        Empty if all cells are on disk, or if the family is on the hub: its models might have to be downloaded. Models
        of which it is not known yet whether they have the ability count as if they had a circuit.

        Raises:
            InputError: a tokenizer cannot express the ability.
        """
        if self.family.downloads:
            return ""
        self._require_own_directory()
        with same_threads():
            self._require_expressible()
            work = self._work()
            seconds = float(expected(work)["seconds"].sum())
        if not seconds:
            return ""
        _, known = models_with_circuits(replace(work, read_only=True))
        return in_words(seconds) + ("" if known else ", or less if models lack the ability")

    @property
    def _ability_keys(self) -> list[str]:
        return [ability.key for ability in (self.ability, *self.beside)]

    def _work(self, *, read_only: bool = False) -> Work:
        chosen = self.settings
        return Work(
            family=self.family,
            settings=chosen,
            directory=self.out,
            ability=self.ability,
            abilities=[self.ability, *self.beside],
            device=chosen.device,
            threads=chosen.threads,
            read_only=read_only,
        )

    def _compute(self, workers: int, scheduler: str) -> Results:
        """Compute every stage of every round; later rounds look at the models that have a circuit."""
        work = self._work()
        results = Results(work)
        with sweep(work, workers=workers, scheduler=scheduler) as each:
            said = self._warn_of_first_token()
            for one in ROUNDS:
                each(one, one.keys(work.grid, [*circuits(results)]), results)
                for warning in [text for stage in of_round(one) for text in stage.warnings(results)]:
                    if warning != said:
                        log.warning(warning)
        return results

    def _write(self, results: Results, started: datetime) -> None:
        """Write the tables, circuits, attention patterns and provenance."""
        tables, kinds = filled(results), all_tables()
        for name, table in tables.items():
            write_table(table, kinds[name], self.out / "tables")
        for path in (self.out / "tables").glob("*.*"):
            if path.stem not in tables:  # filled by a stage that no longer exists
                path.unlink()
        self._replace_files({name: text for stage in in_order() for name, text in stage.files(results).items()})
        if self.what_is_replaced():
            self.report.rename(free_name(self.report))
        self.report.unlink(missing_ok=True)
        times = {"started": started.isoformat(timespec="seconds"), "finished": _now().isoformat(timespec="seconds")}
        provenance = {**self._provenance(results, tables), **times, "state": self._state()}
        write_atomically(self.out / PROVENANCE, json.dumps(provenance, indent=1).encode())

    def _provenance(self, results: Results, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
        """The question, the answer, and everything that is needed to reproduce the numbers."""
        measured = results.of(ABILITIES)
        graphs = {at.size: found.circuit.graph for at, found in circuits(results).items()}
        first, *others = answer(tables, self.ability.name, graphs)
        return {
            "question": question(self.ability.name, self.family.name),
            "answer": [first, *(f"{said}." for said in ABILITIES.warnings(results)), *others],
            "command": self.settings.command,
            "versions": {package: version(package) for package in PACKAGES},
            "models": [
                {**self.family.spec(*at).to_dict(), "prepended": measured[at].prepended} for at in self.grid.models
            ],
            "settings": self.settings.model_dump(mode="json"),
            "abilities": self._ability_keys,
        }

    def _is_finished(self) -> bool:
        """Whether the directory holds the report of exactly this study, with these weights and unchanged tables."""
        try:
            state = json.loads((self.out / PROVENANCE).read_text())["state"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return self.report.is_file() and state == self._state()

    def _state(self) -> str:
        """Hash of everything that decides the report: settings, weights, versions, stages, and the files shown."""
        specs = [self.family.spec(*at).to_dict() for at in self.grid.models]
        shown = (path for folder in ("tables", "circuits", "attention") for path in (self.out / folder).glob("*.*"))
        files = [[path.name, hash_bytes(path.read_bytes())] for path in sorted(shown)]
        stages = [stage.name for stage in in_order()]
        return hash_of(
            [self.settings.model_dump(mode="json"), self._ability_keys, specs, package_versions(), stages, files]
        )

    def _replace_files(self, files: dict[str, bytes]) -> None:
        """Write the circuits and attention patterns; remove those of earlier settings."""
        for folder in ("circuits", "attention"):
            for path in (self.out / folder).glob("*.json"):
                if f"{folder}/{path.name}" not in files:
                    path.unlink()
        for name, content in files.items():
            write_atomically(self.out / name, content)

    def _require_expressible(self) -> None:
        """Raise unless prompts for the ability and for roles can be made; drop other abilities that have no prompts."""
        chosen = self.settings
        model = self._work().models.get(*self.grid.models[0])
        probed = chosen.n_probed or chosen.n_measured
        for n, start in (
            (chosen.n_measured, 0),
            (probed, 0),
            (chosen.n_pairs, DISCOVERY),
            (chosen.n_pairs, EVALUATION),
        ):
            self.ability.sample(model, n, start + chosen.seed)
        repeated_segments(model, 2)
        for other in list(self.beside):
            try:
                other.sample(model, chosen.n_measured, chosen.seed)
            except InputError as error:
                log.warning("%s is not measured: %s", other.name, error)
                self.beside.remove(other)

    def _claim(self) -> None:
        """Claim the output directory, and remove half-written files of a killed run."""
        self._require_own_directory()
        for unfinished in self.out.rglob(".*.tmp"):
            unfinished.unlink()
        write_atomically(self.out / CLAIM, canonical_json(self.settings.model_dump(mode="json")))

    def _warn_of_faults(self) -> None:
        """Warn of checkpoints that are known to be wrong; every table names them in its column `known_fault`."""
        known = {str(fault) for at in self.grid.models for fault in self.family.faults(*at)}
        for fault in sorted(known):
            log.warning("a checkpoint of this study is known to be wrong: %s; the tables flag it", fault)

    def _can_look(self) -> bool:
        """Whether the first finished model is here, so that looking at it downloads nothing."""
        return not self.family.downloads or self.family.is_here(*self.grid.last[0])

    def _warn_of_first_token(self) -> str:
        """Warn before the long stages if another first token is better for the first finished model; returns that."""
        try:
            warning = first_token(self._work())[1] if self._can_look() else ""
        except ModelError:  # raised again by the stage that needs this model, when the others have been measured
            return ""
        if warning:
            log.warning(warning)
        return warning

    def _require_own_directory(self) -> None:
        """Raise if the output directory holds anything but this study."""
        path = self.out / CLAIM
        mine = {"family": self.settings.family, "ability": self.settings.ability}
        if path.is_file():
            theirs = claimed(path)
            if {key: theirs.get(key) for key in mine} != mine:
                raise InputError(f"{self.out} belongs to a study of {theirs.get('ability')} in {theirs.get('family')}; "
                                 "choose another --out or remove it")  # fmt: skip
        elif self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise InputError(f"{self.out} exists and is not the directory of a study; choose another --out")


def _require_probes(chosen: StudySettings) -> None:
    """Raise unless the settings name a probe that decodes, and an intervention."""
    for field, kind, wanted in (("probe", Decoder, "decodes"), ("intervention", Intervention, "changes activations")):
        name = getattr(chosen, field)
        if not isinstance(probes[name], kind):
            known = [one.name for one in probes if isinstance(one, kind)]
            raise InputError(f"{field} = {name!r}: give one that {wanted} ({', '.join(known)})")


def _now() -> datetime:
    return datetime.now(UTC)
