from . import forming as forming, sameness as sameness, scale as scale
