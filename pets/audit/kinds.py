"""The kinds of audit.csv that are not of single pictures' pixels (these are in `pets.audit.quality`)."""

DUPLICATE, SCENE, LABEL, OUTLIER = "duplicate", "same scene", "label", "outlier"
