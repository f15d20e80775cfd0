"""How an ability and its circuit come to be: curves over scale and training, onsets, formation."""
