from .table import SameCircuitVerdict as SameCircuitVerdict
from .test import SameCircuit as SameCircuit, same_circuit as same_circuit
