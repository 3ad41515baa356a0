"""How a trained system is drawn from."""
