"""Downloads the next checkpoint while the present one is analysed, and keeps the disk budget."""

from concurrent.futures import Future, ThreadPoolExecutor

from interp_emerge.core.errors import InterpEmergeError
from interp_emerge.families import DiskBudget
from interp_emerge.families.base import Family
from interp_emerge.study.grid import Checkpoint


class Fetching:
    """Fetches checkpoints of a family: one when it is needed, the next one in a thread.

    A family whose models are all on this machine never starts a thread.
    """

    def __init__(self, family: Family, disk: DiskBudget | None = None) -> None:
        self.family, self.disk = family, disk
        self._pool: ThreadPoolExecutor | None = None
        self._following: Checkpoint | None = None
        self._ahead: Future[bool] | None = None

    @property
    def may_download(self) -> bool:
        """Whether the family has anything to download."""
        return self.family.downloads

    def require(self, size: str, step: int, seed: int) -> None:
        """Have a checkpoint on this machine before it is loaded.

        Raises:
            ModelError: it cannot be downloaded.
            InputError: it is larger than the disk budget.
        """
        if not self.may_download:
            return
        self._wait()
        self.family.fetch(size, step, seed, disk=self.disk)

    def then(self, following: Checkpoint | None) -> None:
        """Note which checkpoint comes next: its download begins once the present one is loaded.

        What goes wrong in the thread is left to `require`, which tries again.
        """
        self._following = following

    def begin(self) -> None:
        """Download in a thread what `then` named."""
        following, self._following = self._following, None
        if following is None or self._ahead is not None:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch")
        self._ahead = self._pool.submit(self._fetch_ahead, following)

    def stop(self) -> None:
        """Wait for the thread, and end it."""
        self._wait()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _fetch_ahead(self, checkpoint: Checkpoint) -> bool:
        try:
            return self.family.fetch(*checkpoint, disk=self.disk, ahead=True)
        except InterpEmergeError:
            return False

    def _wait(self) -> None:
        if self._ahead is not None:
            running, self._ahead = self._ahead, None
            running.result()
