from .compare import Comparison as Comparison, compare as compare
from .matching import (
    HeadFeatures as HeadFeatures,
    Match as Match,
    head_features as head_features,
    match_heads as match_heads,
)
from .same_circuit import SameCircuit as SameCircuit, same_circuit as same_circuit
from .scaling import SizedCircuit as SizedCircuit, circuit_scaling as circuit_scaling, scaling_trends as scaling_trends
from .similarity import (
    MappedOverlap as MappedOverlap,
    edge_classes as edge_classes,
    mapped_overlap as mapped_overlap,
    successive as successive,
)
from .transfer import transfer as transfer, transfer_matrix as transfer_matrix
from .transfer_by_match import transfer_between as transfer_between
