from .changepoints import (
    ChangePoints as ChangePoints,
    Coincidence as Coincidence,
    CoincidenceVerdict as CoincidenceVerdict,
    FastestChange as FastestChange,
    change_points as change_points,
    fastest_change as fastest_change,
    same_interval as same_interval,
)
from .dependence import (
    Dependence as Dependence,
    Part as Part,
    dependence as dependence,
    dependence_at as dependence_at,
    parts_of as parts_of,
)
from .in_context import (
    in_context_over_training as in_context_over_training,
    in_context_scores as in_context_scores,
    phase_changes as phase_changes,
)
from .knowing import Knowing as Knowing, knowing_at as knowing_at
from .known_when import knowing_onsets as knowing_onsets
from .loss_changes import loss_changes as loss_changes
from .order import FormationOrder as FormationOrder, LagVerdict as LagVerdict, formation_order as formation_order
from .tables import (
    DependenceCriterion as DependenceCriterion,
    DependenceVerdict as DependenceVerdict,
    Question as Question,
)
from .turning import direction_turns as direction_turns
from .wave_onsets import progress_onsets as progress_onsets
from .waves import (
    addition_logits as addition_logits,
    key_frequencies as key_frequencies,
    measure_progress as measure_progress,
    progress_measures as progress_measures,
)
