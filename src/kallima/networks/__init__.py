"""Whole bodies: modules with weights that know no loss."""
