from .table import SameCircuitVerdict as SameCircuitVerdict
from .verdict import SameCircuit as SameCircuit, same_circuit as same_circuit
