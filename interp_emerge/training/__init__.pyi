from .estimate import TrainingEstimate as TrainingEstimate, estimate_training as estimate_training
from .grokking import grown_recipe as grown_recipe
from .growing import grow_family as grow_family
from .recipes import load_recipe as load_recipe
from .text import text_recipe as text_recipe
