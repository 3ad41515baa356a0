"""The doctor: says of a training what is wrong with it, since when, on what evidence, and what to try."""
