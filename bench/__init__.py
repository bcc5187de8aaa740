"""Side by side with what a user would pick instead: ratios measured in one run, never a timed test."""
