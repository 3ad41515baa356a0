"""What can be wrong with a training: one file a symptom, each with `find(record)`, which returns a finding or None.

The thresholds are the constants at the top of each file. They are read from the record when `find` is called.
"""
