"""What a check would load and download, before it does."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.memory import format_bytes
from interp_emerge.families._checking.check import Steps, chosen_runs
from interp_emerge.families.base import Family


@checked
def plan_check(
    family: Family, *, sizes: Sequence[str] = (), steps: Steps = (), seeds: Sequence[int] = ()
) -> pd.DataFrame:
    """What `check` would load and download: one row for each training run. Arguments are those of `check`.

    Example:
        >>> ie.families.plan_check(family, sizes=["3k"])

    Returns:
        Columns `size`, `seed`, `checkpoints` (to load), `to_download` (of these), `bytes` (to download; files of one
        size count as equally large) and `download` (the same in words).

    Raises:
        UnknownNameError: the family has no such size, step or seed.
        ModelError: something has to be downloaded, and its size cannot be asked for.
    """
    rows = []
    for size, seed, run in chosen_runs(family, sizes, steps, seeds):
        missing = [step for step in run if not family.is_here(size, step, seed)]
        each = family.bytes_to_download(size, missing[0], seed) if missing else 0
        total = each * len(missing)
        counts = {"checkpoints": len(run), "to_download": len(missing), "bytes": total}
        rows.append({"size": size, "seed": seed, **counts, "download": format_bytes(total)})
    return pd.DataFrame(rows)
