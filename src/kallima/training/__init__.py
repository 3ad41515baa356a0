"""The trainer, the run directory, checkpoints, precision and distribution."""
