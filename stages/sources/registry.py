"""The sources by the name that params.yaml calls them."""

from stages.errors import UserError, nearest
from stages.sources.base import Source
from stages.sources.oxford_iiit_pet import OxfordPets
from stages.sources.sample import Sample

SOURCES: dict[str, type[Source]] = {
    "oxford-iiit-pet": OxfordPets,
    "sample": Sample,
}


def source_named(name: str) -> type[Source]:
    """The source of that name; UserError with the nearest names where there is none."""
    if name not in SOURCES:
        raise UserError(f"params.yaml: there is no source '{name}'; {nearest(name, SOURCES)}")
    return SOURCES[name]
