"""What heads do, compared with untrained models and with the effect of removing them."""
