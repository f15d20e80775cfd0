from . import continuations as continuations
from .axes import AXES as AXES, Axis as Axis
from .first_tokens import first_token_losses as first_token_losses
from .jump_table import jump_table as jump_table, ladder_table as ladder_table
from .ladder import (
    RUNGS as RUNGS,
    Ladder as Ladder,
    measure_grid as measure_grid,
    measure_ladder as measure_ladder,
    scale_correlation as scale_correlation,
)
from .mirage import (
    Mirage as Mirage,
    mirage_check as mirage_check,
)
from .onset import (
    Criterion as Criterion,
    Onset as Onset,
    OnsetVerdict as OnsetVerdict,
    find_onset as find_onset,
    find_onset_of_intervals as find_onset_of_intervals,
)
from .pass_until import (
    PassLaw as PassLaw,
    PassRate as PassRate,
    answer_sampler as answer_sampler,
    continuation_sampler as continuation_sampler,
    pass_law as pass_law,
    pass_until as pass_until,
)
from .rise import MetricShape as MetricShape, RiseShape as RiseShape, jump_shape as jump_shape
from .seeds import (
    Modes as Modes,
    SeedSpread as SeedSpread,
    find_modes as find_modes,
    success_by_size as success_by_size,
)
from .sharpness import Sharpness as Sharpness, sharpness as sharpness, sharpness_table as sharpness_table
from .tables import MirageVerdict as MirageVerdict
from .trends import (
    Trends as Trends,
    TrendVerdict as TrendVerdict,
    correlation_table as correlation_table,
    fit_trends as fit_trends,
    trend_table as trend_table,
)
