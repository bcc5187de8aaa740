"""dvc.lock as DVC writes it, and as it does not."""

from io import StringIO

import pytest
from ruamel.yaml import YAML

from pets.comparison.revisions import Combination
from pets.history.causes import causes
from pets.history.lock import DamagedError, Lock

MD5 = {
    name: 32 * digit for digit, name in zip("abcd", ("splits", "model", "predictions", "code"), strict=True)
}
LOCK = f"""schema: '2.0'
stages:
  split@pets:
    cmd: split
    params:
      params.yaml:
        seed: 7
        split:
          validation: 0.2
    outs:
    - path: data/pets/splits.parquet
      hash: md5
      md5: {MD5["splits"]}
      size: 1
  train@pets-timm/vit-linear:
    cmd: train
    deps:
    - path: data/pets/splits.parquet
      hash: md5
      md5: {MD5["splits"]}
      size: 1
    - path: pets/heads/linear.py
      hash: md5
      md5: {MD5["code"]}
      size: 1
    params:
      params.yaml:
        train.linear:
          penalties:
          - 1
    outs:
    - path: models/pets/timm/vit/linear
      hash: md5
      md5: {MD5["model"]}.dir
      size: 1
      nfiles: 2
  evaluate@pets-timm/vit-linear:
    cmd: evaluate
    deps:
    - path: data/pets/splits.parquet
      hash: md5
      md5: {MD5["splits"]}
      size: 1
    - path: models/pets/timm/vit/linear
      hash: md5
      md5: {MD5["model"]}.dir
      size: 1
      nfiles: 2
    outs:
    - path: evaluations/pets/timm/vit/linear/mistakes
      hash: md5
      md5: {MD5["code"]}.dir
      size: 1
      nfiles: 3
    - path: evaluations/pets/timm/vit/linear/predictions.parquet
      hash: md5
      md5: {MD5["predictions"]}
      size: 1
"""
LINEAR = Combination("pets", "timm/vit", "linear")


def test_the_md5_of_an_evaluation_s_files() -> None:
    assert Lock(LOCK).output(LINEAR, "predictions.parquet") == MD5["predictions"]
    assert Lock(LOCK).output(LINEAR._replace(head="knn"), "predictions.parquet") is None
    assert Lock(LOCK).data("pets") == {MD5["splits"]}


def test_another_way_of_writing_it_is_the_same() -> None:
    for flow in (True, False):
        yaml, stream = YAML(typ="safe"), StringIO()
        yaml.default_flow_style = flow
        yaml.dump(YAML(typ="safe").load(LOCK), stream)
        other = Lock(stream.getvalue())
        assert other.evaluated == Lock(LOCK).evaluated


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is missing"),
        (LOCK.replace("2.0", "1.0"), "is of another version"),
        (LOCK.replace("    outs:", ">>>>>>> theirs\n    outs:", 1), "is not valid YAML"),
        (LOCK + "\x00", "is not valid YAML"),
    ],
)
def test_what_cannot_be_read_is_damaged(text: str, reason: str) -> None:
    with pytest.raises(DamagedError, match=reason):
        Lock(text)


def changed(*replacements: tuple[str, str], after: Combination = LINEAR) -> list[str]:
    text = LOCK
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return causes(Lock(LOCK), Lock(text), LINEAR, after)


NEW_MODEL = (MD5["model"], "e" * 32)
NEW_SPLITS = (MD5["splits"], "f" * 32)


def test_only_what_reached_the_predictions_is_a_cause() -> None:
    assert changed(("- 1\n", "- 2\n")) == []  # the model is the same
    assert changed(("- 1\n", "- 2\n"), NEW_MODEL) == ["parameter train.linear.penalties: [1] → [2]"]
    assert changed((MD5["code"] + "\n      size: 1\n    params", "0e" * 16 + "\n    params"), NEW_MODEL) == [
        "code: pets/heads/linear.py"
    ]
    assert changed(("seed: 7", "seed: 8"), NEW_SPLITS, NEW_MODEL) == [
        "data: splits.parquet",
        "parameter seed: 7 → 8",
    ]


def test_another_name_is_a_cause_and_its_files_are_not() -> None:
    renamed = [("/linear", "/ridge"), ("train.linear", "train.ridge"), NEW_MODEL]
    assert changed(*renamed, after=LINEAR._replace(head="ridge")) == ["head: linear → ridge"]
    assert changed(*renamed, ("- 1\n", "- 2\n"), after=LINEAR._replace(head="ridge")) == [
        "head: linear → ridge",
        "parameter train.ridge.penalties: [1] → [2]",
    ]
