from pathlib import Path

import torch

from pets.core.files import write_json
from pets.visualization.readings import IDEAL, READING, made, reading

PROBABILITIES = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def test_a_species_has_the_sum_of_its_classes_and_the_most_probable_class_counts(tmp_path: Path) -> None:
    for maker, made_there in (
        ("a", [("0.png", "cat", [0, 2]), ("1.png", "pug", [1])]),
        ("b", [("0.png", "cat", [0, 2])]),
        ("c", []),
    ):
        (tmp_path / maker).mkdir()
        described = [{"file": file, "name": name, "places": places} for file, name, places in made_there]
        write_json(tmp_path / maker / "ideals.json", described)
    ideals = made({maker: tmp_path / maker for maker in "abc"}, "pets/linear")
    assert list(ideals.columns) == IDEAL
    assert ideals["file"].tolist() == [tmp_path / "a/0.png", tmp_path / "a/1.png", tmp_path / "b/0.png"]
    read = reading(ideals, "b", PROBABILITIES)
    assert list(read.columns) == READING
    assert read["maker"].tolist() == ["a", "a", "b"]
    assert set(read["reader"]) == {"b"}
    assert set(read["group"]) == {"pets/linear"}
    torch.testing.assert_close(torch.tensor(read["probability"]), torch.tensor([0.7, 0.3, 0.8]).double())
    assert read["first"].tolist() == [True, False, True]


def test_without_ideals_there_are_only_the_columns(tmp_path: Path) -> None:
    write_json(tmp_path / "ideals.json", [])
    ideals = made({"a": tmp_path}, "pets/linear")
    assert ideals.empty
    read = reading(ideals, "a", torch.zeros(0, 3))
    assert read.empty
    assert list(read.columns) == READING
