from .compare import Comparison as Comparison, compare as compare
from .matching import (
    HeadFeatures as HeadFeatures,
    Match as Match,
    head_features as head_features,
    match_heads as match_heads,
)
from .same_circuit import (
    SameCircuit as SameCircuit,
    SameCircuitVerdict as SameCircuitVerdict,
    same_circuit as same_circuit,
)
from .scaling import (
    ScalingVerdict as ScalingVerdict,
    SizedCircuit as SizedCircuit,
    circuit_scaling as circuit_scaling,
    scaling_trends as scaling_trends,
)
from .similarity import (
    MatchedOverlap as MatchedOverlap,
    edge_classes as edge_classes,
    overlap_by_match as overlap_by_match,
    turnover as turnover,
)
from .transfer import transfer as transfer
from .transfer_by_match import Way as Way, transfer_by_match as transfer_by_match
