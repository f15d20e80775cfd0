from . import finding as finding, roles as roles, running as running, testing as testing
from .known import (
    GroundTruth as GroundTruth,
    auroc as auroc,
    ground_truth as ground_truth,
    recovery_table as recovery_table,
    roc as roc,
)
from .overlap import Overlap as Overlap, overlap as overlap
