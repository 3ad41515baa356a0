"""Pure functions from tensors to a loss."""
