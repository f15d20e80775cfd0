from .grokking import grown_recipe as grown_recipe
from .growing import grow_family as grow_family
from .recipes import load_recipe as load_recipe
