from ._shelf import shelf as shelf
from .base import Decoder as Decoder, Intervention as Intervention, Lens as Lens, Probe as Probe
from .knowing import probe as probe
from .lensing import LensScores as LensScores, lens as lens
from .scores import ProbeScores as ProbeScores
from .turning import Turn as Turn, compare_directions as compare_directions
from .using import UseScores as UseScores, use as use
