"""The history of metrics over commits: which steps are more than chance, and what changed there."""
