"""Which species each breed is of."""

import pandas as pd


def species_of(rows: pd.DataFrame, classes: list[str]) -> pd.Series:
    """The species of each of ``classes``, by class, from rows with label and species; or missing."""
    return rows.drop_duplicates("label").set_index("label")["species"].reindex(classes)
