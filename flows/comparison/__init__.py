"""Two revisions compared: what belongs together, what a difference is worth, and how it is shown."""
