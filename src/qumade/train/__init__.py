"""Losses, the loop, the learning-rate finder and checkpoints."""
