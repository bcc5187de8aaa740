"""Embeddings on disk: the store of vectors, and the check that the present code would still make the same."""
