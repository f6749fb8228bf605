"""Training: config, data setup, trainer, loop, validation, checkpoints and the run folder."""
