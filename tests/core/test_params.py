import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torchvision
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pets.core import names, params
from pets.core.errors import UserError
from pets.core.params import Section
from stages.params import complete

COMMITTED = Path(__file__).parents[2] / "params.yaml"


class Settings(Section):
    size: int
    name: str


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text() + "\nmine:\n  size: 3  # pixels\n  name: x\n")
    return path


def test_reads_a_section_and_a_single_key(file: Path) -> None:
    assert params.read("mine", Settings) == Settings(size=3, name="x")
    assert params.read("mine.size", int) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  size: 3", "  sise: 3", "'mine.sise' is not a parameter; did you mean 'size'?"),
        ("  size: 3", "  size: large", "'mine.size' is 'large'"),
        ("  size: 3  # pixels\n", "", "'mine.size' is missing"),
        ("\nmine:", "\nmein:", "'mine' is not in params.yaml; did you mean 'mein'?"),
        ("- vgg16\n", "- vgg61\n", "the unknown backbone 'vgg61'; did you mean 'vgg19' or 'vgg16'"),
        (
            "- vgg16\n",
            "- timm/resnet50.a9_in1k\n",
            "the unknown backbone 'timm/resnet50.a9_in1k'; did you mean",
        ),
        (
            "- vgg16\n",
            "- vgg16+resnet5\n",
            "the unknown backbone 'resnet5', a part of 'vgg16+resnet5'; did you mean",
        ),
        ("- vgg16\n", "- vgg16+\n", "the unknown backbone '', a part of 'vgg16+'"),
        ("- vgg16\n", "- vgg16+vgg16\n", "joins 'vgg16' with itself in 'vgg16+vgg16'"),
        ("- vgg16\n", "- resnet50-IMAGENET1K_V3\n", "did you mean 'resnet50-IMAGENET1K_V2'"),
        (
            "- vgg16\n",
            "- resnet50@IMAGENET1K_V1\n",
            "no place for an @ in a stage's name; write 'resnet50-IMAGENET1K_V1'",
        ),
        ("- linear\n", "- lineal\n", "run.heads names the unknown head 'lineal'; did you mean 'linear'?"),
        ("- oxford-iiit-pet\n", "- oxford\n", "names the unknown data set 'oxford'"),
        ("- linear\n", "- knn\n", "names 'knn' twice"),
        ("  size: 3", "  size: [3", "is not valid YAML"),
    ],
)
def test_a_mistake_is_reported_in_one_line(file: Path, old: str, new: str, message: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        params.read("mine", Settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("finetune", "backbones", "message"),
    [
        ("vgg16", "vgg16", "add 'vgg16-finetuned' to run.backbones, or take it out"),
        ("vgg16", "vgg16-finetuned", "add 'vgg16' to run.backbones, or take it out"),
        ("", "vgg16-finetuned", "add 'vgg16' to run.finetune, or take it out"),
        ("vgg16+resnet18", "vgg16", "names 'vgg16+resnet18', which joins backbones"),
        ("vgg16-finetuned", "vgg16", "names 'vgg16-finetuned', which is fine-tuned"),
        (
            "vgg61",
            "vgg16",
            "run.finetune names the unknown backbone 'vgg61'; did you mean 'vgg19' or 'vgg16'",
        ),
        ("vgg16", "vgg16, vgg16-finetuned, vgg16-finetuned+resnet18", "can't be a part"),
        ("timm/vit_tiny_patch16_224", "timm/vit_tiny_patch16_224", "'timm/vit_tiny_patch16_224-finetuned'"),
    ],
)
def test_what_is_fine_tuned_is_named_on_both_sides(
    file: Path, finetune: str, backbones: str, message: str
) -> None:
    wanted = [f"run.finetune=[{finetune}]", f"run.backbones=[{backbones}]"]
    before = file.read_text()
    with pytest.raises(UserError, match=re.escape(message)) as error:
        params.override(wanted)
    assert "\n" not in str(error.value)
    assert file.read_text() == before


def test_fine_tuning_starts_from_the_linear_head(file: Path) -> None:
    wanted = ["run.finetune=[vgg16]", "run.backbones=[vgg16, vgg16-finetuned]"]
    params.override(wanted)
    with pytest.raises(UserError, match=r"run\.finetune names 'vgg16'; add 'linear' to run\.heads"):
        params.override(["run.heads=[knn]"])


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no params\.yaml"):
        params.read("mine", Settings)


def test_override_keeps_the_comments(file: Path) -> None:
    params.override(["run.heads=[knn, mlp]", "mine.size=4"])
    text = file.read_text()
    assert "  heads:\n  - knn\n  - mlp\n" in text
    assert "size: 4  # pixels" in text
    assert text.count("#") == COMMITTED.read_text().count("#") + 1
    with pytest.raises(UserError, match=r"no 'mine\.colour'"):
        params.override(["mine.colour=red"])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("mine.sizes=4", "has no 'mine.sizes' to set; did you mean 'size'?"),
        ("run.heads=linear", "'run.heads' is 'linear', and has to be a list: [linear]."),
    ],
)
def test_a_mistaken_assignment_says_what_is_near(file: Path, assignment: str, message: str) -> None:
    before = file.read_text()
    with pytest.raises(UserError, match=re.escape(message)):
        params.override([assignment])
    assert file.read_text() == before


@pytest.mark.parametrize(
    "assignment",
    [
        "run.heads=[knn,mlp]",
        "seed=9",
        "embed.cluster=auto",
        "embed.cluster=null",
        "attack.steps=3",
        "export.models=[{backbone: efficientnet_lite0, head: linear}]",
    ],
)
def test_it_is_written_as_dvc_exp_run_writes_it(file: Path, assignment: str) -> None:
    """So that branches that changed different parameters, by either, merge."""
    file.write_text(COMMITTED.read_text())
    params.override([assignment])
    ours = file.read_text()
    file.write_text(COMMITTED.read_text())
    apply_overrides(str(file), [assignment])
    assert file.read_text() == ours


def lists(content: Any, prefix: str = "") -> Iterator[str]:
    """The keys of all lists."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from lists(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key


def test_every_list_can_be_set_by_either_and_keeps_all_comments(file: Path) -> None:
    before = COMMITTED.read_text()
    for key in (
        *lists(YAML(typ="safe").load(before)),
        "ideal_breeds.breeds",
    ):  # the last is a word, or a list
        if key in ("folders", "run.datasets", "run.backbones", "run.heads", "run.finetune"):
            continue
        models = [{"backbone": "efficientnet_lite0", "head": head} for head in ("linear", "knn", "prototype")]
        items = models if key == "export.models" else ["a", "b", "c"]
        for value in ([], items[:1], items):
            for set_ in (params.override, lambda assignments: apply_overrides(str(file), assignments)):
                file.write_text(before)
                set_([f"{key}={json.dumps(value)}".replace('"', "")])
                found: Any = YAML(typ="safe").load(file)
                for part in key.split("."):
                    found = found[part]
                assert found == value, key
                assert file.read_text().count("#") == before.count("#"), key


def test_override_changes_only_what_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = COMMITTED.read_text()
    Path("params.yaml").write_text(before)
    params.override(["seed=8"])
    assert Path("params.yaml").read_text() == before.replace("seed: 7  #", "seed: 8  #")


class TestAddingADataSet:
    @pytest.mark.parametrize(
        "assignments",
        [
            ["datasets.my-photos={}"],
            ["datasets.my-photos.path={}", "datasets.my-photos.source=image-folder"],
            ["datasets.my-photos={{source: image-folder, path: {}}}"],
        ],
    )
    def test_a_folder(self, file: Path, assignments: list[str]) -> None:
        folder = file.parent / "my photos 🐈"
        folder.mkdir()
        assign([*(each.format(folder) for each in assignments), "run.datasets=[my-photos]"])
        content = YAML(typ="safe").load(file)
        assert content["datasets"]["my-photos"] == {"source": "image-folder", "path": str(folder)}
        assert "\nfolders:\n- my-photos\n" in file.read_text()
        lines, before = file.read_text().splitlines(), COMMITTED.read_text().splitlines()
        assert [each for each in before if each not in lines] == ["  - oxford-iiit-pet", "folders: []"]
        assign(["run.datasets=[sample]"])
        assert "\nfolders: []\n" in file.read_text()

    def test_a_published_one(self, file: Path) -> None:
        assign(
            [
                "datasets.flowers.source=flowers102",
                "run.datasets=[flowers]",
                "datasets.dtd.archive.url=dtd.tar",
            ]
        )
        content = YAML(typ="safe").load(file)
        assert content["datasets"]["flowers"] == {"source": "flowers102"}
        assert content["datasets"]["dtd"] == {"source": "dtd", "archive": {"url": "dtd.tar"}}

    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("datasets.my-photos=gone", "there is no folder"),
            ("datasets.my-photos=params.yaml", "params.yaml is a file, not a folder"),
            ("datasets.my photos=.", "a data set can't be called 'my photos'"),
            ("datasets.imagenet=.", "a data set can't be called 'imagenet'"),
            ("datasets.sampel.per_breed=3", "datasets.sampel.source names the unknown source ''"),
            ("datasets.x.source=flowers", "unknown source 'flowers'; did you mean 'flowers102'"),
            ("datasets.dtd.image.url=x", "'datasets.dtd.image' is not a parameter"),
            ("datasets.sample.size=large", "'datasets.sample.size' is 'large'"),
            ("datasets={}", "run.datasets names the unknown data set 'oxford-iiit-pet'"),
            ("run.datasets=[my-photos]", "run.datasets names the unknown data set 'my-photos'"),
            ("run.datasets=[", "run.datasets=[ is not valid YAML"),
        ],
    )
    def test_what_is_wrong_is_refused_in_one_line(self, file: Path, assignment: str, message: str) -> None:
        before = file.read_text()
        with pytest.raises(UserError) as error:
            assign([assignment])
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        assert file.read_text() == before


def assign(assignments: list[str]) -> None:
    """As `python -m stages.params` does."""
    params.override(assignments, complete)


def test_names_known_without_torch_are_those_with_it() -> None:
    known = {name for name in names.backbones() if "-" not in name} - set(names.LITE)
    assert known == set(torchvision.models.list_models(module=torchvision.models))
    weights = {
        f"{name}-{each}"
        for name in known
        for each in torchvision.models.get_model_weights(name).__members__
        if each != "DEFAULT"
    }
    assert weights <= set(names.backbones())
    layers = {each for each in names.backbones() if each.endswith(names.VGG_LAYERS)}
    assert set(names.backbones()) == known | weights | layers | set(names.LITE)


def test_timms_names_are_known_without_timm() -> None:
    """Every network, and the weights of all whose names stand in timm's source: those of few do not."""
    import timm

    known = set(names.timm_backbones())
    networks, weights = ({f"timm/{each}" for each in timm.list_models(pretrained=p)} for p in (False, True))
    assert networks <= known
    assert len(weights - known) < 0.05 * len(weights)
    for name in [*weights, "timm/vit_small_patch14_dinov2.lvd142m-224", "vgg16+timm/resnet50"]:
        names.check({}, "run.backbones", "backbones", [name])
    assert names.heads() == ("knn", "linear", "mlp", "prototype")
    assert {"oxford-iiit-pet", "sample", "image-folder"} <= set(names.sources())
