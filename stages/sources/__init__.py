"""Where pictures come from: one file per source, each a `Source` (see base.py)."""
