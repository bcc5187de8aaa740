"""What may be wrong with a data set: duplicates, labels, outliers, pictures; what a person decided."""
