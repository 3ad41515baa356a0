"""Likelihood: Parzen windows over samples, importance-weighted bounds, bits per dimension."""
