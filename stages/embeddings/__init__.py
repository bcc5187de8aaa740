"""The store of vectors on disk."""
