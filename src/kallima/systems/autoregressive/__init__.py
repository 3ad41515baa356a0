"""Models that make an example component by component, each with what came before in view."""
