"""Two revisions compared: which combinations are paired, and whether a difference is more than chance."""
