"""Scores, each with its receipt."""
