"""Lightweight classifiers on cached features, all behind one interface (see base.py)."""

NAMES = ("linear", "knn", "prototype", "mlp")
