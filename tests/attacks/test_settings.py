"""Epsilons in params.yaml."""

import shutil
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from pets.attacks.settings import Epsilon, Settings, in_levels
from pets.core import params
from pets.core.errors import UserError
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("written", "value"), [("4/255", 4 / 255), (0.5, 0.5), (0, 0), ("0.25/255", 0.25 / 255)]
)
def test_epsilons_are_fractions_or_numbers(written: object, value: float) -> None:
    assert TypeAdapter(Epsilon).validate_python(written) == pytest.approx(value)


@pytest.mark.parametrize("written", ["4/0", "four", "2/1", -0.1, None, "nan"])
def test_other_epsilons_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Epsilon).validate_python(written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("attack.epsilon=5/2", r"'attack.epsilon' is '5/2': .*less than or equal to 1"),
        (
            "attack.curve.epsilons=[1/255, -0.1]",
            r"'attack.curve.epsilons.1' is -0.1: .*greater than or equal to 0",
        ),
        ("attack.epsilon=small", r"'attack.epsilon' is 'small': .*a fraction like 4/255"),
    ],
)
def test_a_wrong_epsilon_in_params_is_reported_in_one_line(
    change: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    params.override([change])
    with pytest.raises(UserError, match=message) as caught:
        params.read("attack", Settings)
    assert "\n" not in str(caught.value)


def test_epsilons_are_written_in_levels() -> None:
    assert in_levels(4 / 255) == "4/255"
    assert in_levels(0.125 / 255) == "0.125/255"
