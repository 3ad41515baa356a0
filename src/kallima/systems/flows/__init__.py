"""Flows: an ordinary differential equation that carries noise to data, and back."""
