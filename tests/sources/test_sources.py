"""Sources are found and loaded by the name of their module."""

import inspect

import pytest

from pets import sources
from pets.core import names
from pets.core.params import Section


def test_the_modules_are_the_sources_and_the_packages_are_not() -> None:
    assert {"oxford-iiit-pet", "sample"} <= set(names.sources())
    assert not {"archives", "synthetic-pets"} & set(names.sources())


@pytest.mark.parametrize("name", names.sources())
def test_a_source_has_what_is_expected_of_it(name: str) -> None:
    source = sources.load(name)
    assert issubclass(source.Settings, Section)
    assert source.Settings.model_fields["source"].annotation.__args__ == (name,)  # type: ignore[union-attr]
    assert isinstance(source.LABEL_NAME, str)
    assert isinstance(source.SYNTHETIC, bool)
    assert list(inspect.signature(source.fetch).parameters) == ["settings", "raw", "archives"]
    assert list(inspect.signature(source.pictures).parameters) == ["raw"]
