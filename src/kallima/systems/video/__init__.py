"""Models of moving pictures: what comes next, and whole clips."""
