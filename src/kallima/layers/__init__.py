"""Leaf modules."""
