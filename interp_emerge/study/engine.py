"""Run a study's work in this process, in other processes of this machine, or on a cluster.

Results are cells on disk, each complete or absent (`study.cells`), so only names travel between processes. A worker
gets the name of a round and of a model, computes what is missing, and stores it where the other processes read. A
cell's content does not depend on which process computed it. Processes, scheduling and clusters are handled by
dask.distributed (Rocklin, 2015, https://doi.org/10.25080/Majora-7b98e3ed-013). Every worker needs the same packages,
the family, and the directory of the results.
"""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from tqdm.auto import tqdm

from interp_emerge.core.errors import InputError, InterpEmergeError, ModelError
from interp_emerge.core.files import hash_bytes
from interp_emerge.families import load_family
from interp_emerge.study._main_module import main_module_runs_once, require_new_processes_possible
from interp_emerge.study.cells import MissingCell, package_versions
from interp_emerge.study.chosen import address as address_of, chosen_abilities
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import ROUNDS, Followed, Round
from interp_emerge.study.settings import StudySettings
from interp_emerge.study.stages import of_round
from interp_emerge.study.stages.base import Results
from interp_emerge.study.work import Work

Sweep = Callable[[Round[Any], Sequence[Any], Results], None]
"""Makes every stage of a round compute its cell for each key, and adds the cells to the results, in order of keys."""
CLAIM = "study.json"
"""File in a study's directory that names the study; a worker that reads another content is in another directory."""
SECONDS_TO_ANSWER = 15
LOOKED_AHEAD = 3
"""Number of keys among which the model to download next is looked for."""
ONE_AT_A_TIME = Lock()
"""A worker with several threads holds only one model at a time."""


@contextmanager
def sweep(work: Work, *, workers: int = 1, scheduler: str = "") -> Iterator[Sweep]:
    """Yields a function that runs work: in this process, in new processes, or in those of a running scheduler.

    Args:
        work: what to do; its directory already holds the study's claim.
        workers: number of processes on this machine; with 1, this process does everything.
        scheduler: address of a dask scheduler that has workers, such as `tcp://host:8786`.

    Raises:
        InputError: both are given, workers cannot be started, no scheduler answers, or a worker has other packages,
            another family or another directory than this process.
    """
    require_workers(workers)
    if scheduler and workers > 1:
        raise InputError(f"workers={workers} starts workers on this machine, but the scheduler {scheduler} has its "
                         "own; give one or the other")  # fmt: skip
    if workers == 1 and not scheduler:
        yield partial(_in_turn, work)
        return
    if work.settings.disk_budget:
        raise InputError(f"disk_budget={work.settings.disk_budget!r} bounds the downloads of one process; leave it "
                         "out, or take workers=1 and no scheduler")  # fmt: skip
    with _client(workers, scheduler) as client:
        _require_same_view(client, work, scheduler)
        yield partial(_spread, client, work)


def require_workers(workers: int) -> None:
    """Raise an `InputError` unless there is at least one."""
    if workers < 1:
        raise InputError(f"workers={workers}: give at least one")


def do(work: Work, chosen: Round[Any], key: Any, results: Results) -> None:
    """Make every stage of a round compute its cell for one key, or record why it does not.

    Raises:
        MissingCell: a cell is not on disk, and the work is read-only.
    """
    for stage in of_round(chosen):
        if why := stage.why_not(work, key):
            results.leave_out(stage, key, why)
        else:
            results.add(stage, key, stage.cell(work, key))


def missing(work: Work, chosen: Round[Any], keys: Sequence[Any]) -> Iterator[Any]:
    """The keys that have at least one cell missing on disk."""
    reader = replace(work, read_only=True)
    for key in keys:
        try:
            do(reader, chosen, key, Results(reader))
        except MissingCell:
            yield key


def _in_turn(work: Work, chosen: Round[Any], keys: Sequence[Any], results: Results) -> None:
    try:
        for place, key in enumerate(tqdm(keys, desc=chosen.name, unit="model")):
            work.fetching.then(_next_needed(work, chosen, keys[place + 1 : place + 1 + LOOKED_AHEAD]))
            do(work, chosen, key, results)
    finally:
        work.fetching.stop()


def _next_needed(work: Work, chosen: Round[Any], keys: Sequence[Any]) -> Checkpoint | None:
    """The model that will be needed next, of the keys that have a cell missing; None if there is none to fetch."""
    if not work.fetching.may_download:
        return None
    for key in missing(work, chosen, keys):
        return models_of(key)[0]
    return None


def models_of(key: Any) -> list[Checkpoint]:
    """The models that a round looks at for a key: a model, a step of a run, or a pair of models."""
    if isinstance(key, Checkpoint):
        return [key]
    return [key.checkpoint] if isinstance(key, Followed) else [*key]


def _spread(client: Any, work: Work, chosen: Round[Any], keys: Sequence[Any], results: Results) -> None:
    """Let workers compute the missing cells, the largest models first, then read all cells."""
    from distributed import as_completed

    waiting = [*missing(work, chosen, keys)]
    sent = _sent(work)
    futures = [
        client.submit(carry_out, *sent, chosen.name, key, pure=False, retries=0, priority=place)
        for place, key in enumerate(waiting)
    ]
    progress: dict[str, Any] = {"total": len(futures), "desc": chosen.name, "unit": "model"}
    progress |= {} if futures else {"disable": True}  # given as False, it would win over TQDM_DISABLE
    try:
        for future in tqdm(as_completed(futures), **progress):
            _raise_if_failed(future, work.settings)
    finally:
        client.cancel(futures, force=True)
    for key in keys:
        do(work, chosen, key, results)


def carry_out(settings: str, directory: str, threads: int, name: str, key: Any) -> tuple[str, str] | None:
    """Do one round on one key in a worker; returns the type and text of an error if this package raised it."""
    (chosen,) = (one for one in ROUNDS if one.name == name)
    work = _work(settings, directory, threads)
    with ONE_AT_A_TIME:
        try:
            do(work, chosen, key, Results(work))
        except InterpEmergeError as error:
            return type(error).__name__, str(error)
    return None


@lru_cache(maxsize=1)
def _work(settings: str, directory: str, threads: int) -> Work:
    """The work of a study in a worker; the model that was used last stays in memory."""
    chosen = StudySettings.model_validate_json(settings)
    ability, *others = chosen_abilities(chosen)
    return Work(
        family=load_family(chosen.family),
        settings=chosen,
        directory=Path(directory),
        ability=ability,
        abilities=[ability, *others],
        device=chosen.device or _own_device(),
        threads=threads,
    )


def _sent(work: Work) -> tuple[str, str, int]:
    """Settings, directory and threads for a worker, naming only the abilities that are measured."""
    beside = tuple(address_of(ability) for ability in work.abilities if ability.name != work.ability.name)
    family = work.settings.family
    if Path(family).is_dir():
        family = str(Path(family).resolve())
    sent = work.settings.model_copy(update={"ability": address_of(work.ability), "beside": beside, "family": family})
    return sent.model_dump_json(), str(work.directory.resolve()), work.threads or torch.get_num_threads()


def _own_device() -> str:
    """The GPU of this worker if there are several, assigned in turn; otherwise empty."""
    from distributed import get_worker

    name, n_devices = get_worker().name, torch.cuda.device_count()
    return f"cuda:{int(name) % n_devices}" if n_devices > 1 and str(name).isdigit() else ""


@contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Any]:
    from distributed import Client

    if scheduler:
        with ExitStack() as open_until_done:
            try:
                client = open_until_done.enter_context(Client(scheduler, timeout=SECONDS_TO_ANSWER))
                client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
            except (OSError, ValueError, TimeoutError) as error:
                raise InputError(f"no scheduler with workers answers at {scheduler} ({error}); start `dask scheduler` "
                                 "and `dask worker`, or use --workers") from error  # fmt: skip
            yield client
        return
    require_new_processes_possible()
    with main_module_runs_once(), _quiet(), _local_cluster(workers) as cluster, Client(cluster) as client:
        client.run(_leave_interrupts_to_the_parent)
        yield client


def _leave_interrupts_to_the_parent() -> None:
    """Ignore Ctrl-C in a worker: it reaches every process of a shell, and the parent ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _local_cluster(workers: int) -> Any:
    """New processes with one thread each, reachable from this machine only."""
    from distributed import LocalCluster

    options: dict[str, Any] = {
        "threads_per_worker": 1,
        "processes": True,
        "dashboard_address": "127.0.0.1:0",  # a free port: dask always opens one, and warns if its default is in use
        "scheduler_kwargs": {"dashboard": False},
        "memory_limit": 0,  # stages limit their own memory; a limit here would kill workers that hold a large model
        "silence_logs": logging.CRITICAL,
        "env": {"TQDM_DISABLE": "1"},
    }
    try:
        return LocalCluster(n_workers=workers, **options)
    except (RuntimeError, OSError) as error:
        raise InputError(f"{workers} workers cannot be started ({str(error).rstrip('.')}), most likely because each "
                         'imports the script again; put the call under `if __name__ == "__main__":`, use the command '
                         "`interp-emerge run`, or take workers=1") from error  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """While open, dask logs only crashes, not that workers start, stop or miss a heartbeat."""
    dask = logging.getLogger("distributed")
    before = dask.level
    dask.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        dask.setLevel(before)


def _view(settings: str, directory: str, at: Checkpoint) -> dict[str, Any]:
    """A process's packages, family and directory, which must be the same in all processes."""
    claim = Path(directory) / CLAIM
    try:
        family = load_family(StudySettings.model_validate_json(settings).family)
        checkpoint = family.spec(*at).to_dict()
    except InterpEmergeError as error:
        checkpoint = {"error": str(error)}
    return {
        "packages": package_versions(),
        "family": checkpoint,
        "directory": hash_bytes(claim.read_bytes()) if claim.is_file() else "",
    }


def _require_same_view(client: Any, work: Work, scheduler: str) -> None:
    """Raise unless every worker has the packages, the family and the directory of this process."""
    (settings, directory, _), at = _sent(work), work.grid.models[0]
    here = _view(settings, directory, at)
    for address, there in client.run(_view, settings, directory, at).items():
        for what, mine in here.items():
            if there[what] != mine:
                raise InputError(f"worker {address} of {scheduler or 'this machine'} does not have the {what} of this "
                                 f"process: {there[what] or 'nothing'} instead of {mine}")  # fmt: skip


def _raise_if_failed(future: Any, settings: StudySettings) -> None:
    """Raise a worker's error: this package's errors with their own type, others with their traceback."""
    from distributed import KilledWorker

    try:
        failed = future.result()
    except KilledWorker as error:
        raise InputError("a worker died, most likely because memory ran out, since each worker holds a model; use "
                         f"fewer workers, or a smaller dtype than {settings.dtype}") from error  # fmt: skip
    if failed is not None:
        kind, text = failed
        raise {"ModelError": ModelError}.get(kind, InputError)(text)
