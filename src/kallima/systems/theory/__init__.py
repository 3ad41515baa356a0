"""The theory of the adversarial game, on problems so small that everything about them is known."""
