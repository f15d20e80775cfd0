"""How an ability and its circuit emerge, along size (scale), along training (forming), between models (sameness)."""
