"""Images told in labels, several of them at once: from what is seen, and from what goes together."""
