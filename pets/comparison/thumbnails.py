"""The pictures of gained and lost images, from whichever revision still has them."""

import base64
import hashlib
from collections.abc import Iterable
from contextlib import suppress

import pandas as pd

from pets.comparison.revisions import MissingError, Revision
from pets.images.thumbnails import thumbnail


def catalogs(*sides: tuple[Revision, str]) -> list[tuple[Revision, str, pd.DataFrame]]:
    """Each revision and data set with its catalog; those whose catalog is not available are left out."""
    found = []
    for revision, dataset in sides:
        with suppress(MissingError):
            found.append((revision, dataset, revision.catalog(dataset)))
    return found


def other_pictures(image_ids: pd.Series, old: pd.DataFrame, new: pd.DataFrame) -> int:
    """How many images have other bytes in the new catalog than in the old one."""
    before, after = (each["sha256"].reindex(image_ids) for each in (old, new))
    return int((before != after).sum())


def find(image_ids: Iterable[str], found: list[tuple[Revision, str, pd.DataFrame]]) -> dict[str, str]:
    """Base64 JPEG by image_id. A picture that no revision has, in workspace, cache or remote, is left out."""
    made = {}
    for image_id in image_ids:
        for revision, dataset, catalog in found:
            if image_id not in catalog.index:
                continue
            try:
                data = revision.picture(dataset, str(catalog.at[image_id, "path"]))
            except MissingError:
                continue
            if hashlib.sha256(data).hexdigest() != catalog.at[image_id, "sha256"]:
                continue  # a folder's picture that has changed since
            made[image_id] = base64.b64encode(thumbnail(data)).decode("ascii")
            break
    return made
