"""Latent spaces: what a code tells of labels, how well it falls into classes, whether its axes are the factors."""
