"""Figures of captioned pictures, as contact sheets and as tiles for the report."""
