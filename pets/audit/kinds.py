"""The kinds of audit.csv that are not of single pictures' pixels (these are in `pets.audit.quality`)."""

DUPLICATE, SCENE, LABEL, OUTLIER = "duplicate", "same scene", "label", "outlier"

WRONG = 0.9  # of a label's score: from these odds of nine to one on, it counts as wrong in without_suspects/
