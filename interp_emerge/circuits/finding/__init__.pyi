from .find import FoundCircuit as FoundCircuit, find_circuit as find_circuit, search_stability as search_stability
from .null_circuits import NullKind as NullKind, kinds_of as kinds_of, null_circuits as null_circuits
from .random_paths import random_connected_circuits as random_connected_circuits
from .selection import grow as grow, smallest_faithful as smallest_faithful
from .stability import Stability as Stability, stability as stability
