"""Two nodes of a real Ray cluster on loopback give the features of this machine, also where one is lost."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster as Nodes

from pets.backbones.base import Backbone
from pets.backbones.build import build
from pets.core.errors import UserError
from pets.engines import cluster
from pets.engines.cluster import Cluster
from pets.engines.pytorch import Engine


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes with a core each."""
    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Nodes(initialize_head=True, head_node_args=node)
        nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
        yield nodes
        nodes.shutdown()


@pytest.fixture(scope="module")
def pictures(files: list[Path]) -> list[Path]:
    return files * 20


@pytest.fixture(scope="module")
def expected(pictures: list[Path]) -> np.ndarray:
    return np.concatenate(list(Engine(lite0(), "cpu", "auto").vectors(pictures, 1)))


@pytest.fixture
def connected(nodes: Nodes, pictures: list[Path]) -> Iterator[Cluster]:
    yield Cluster(nodes.address, "torch", lite0(), "auto", "auto", pictures)
    ray.shutdown()


def lite0() -> Backbone:
    return build("efficientnet_lite0", Path("weights"))


def test_the_features_are_this_machines(
    connected: Cluster, pictures: list[Path], expected: np.ndarray
) -> None:
    here = Engine(lite0(), "cpu", "auto")
    assert (connected.name, connected.precision, connected.device_name) == (
        "torch",
        here.precision,
        here.device_name,
    )
    assert np.array_equal(np.concatenate(list(connected.vectors(pictures, 1))), expected)


def test_what_a_worker_refuses_is_an_error_of_one_line(
    connected: Cluster, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(UserError, match=r"^a picture could be decoded .* \(not a picture of a known"):
        list(connected.vectors([*pictures[:3], tmp_path / "note.txt"], 1))
    with pytest.raises(UserError, match=r"0\.png has changed since it was cataloged"):
        list(connected.vectors(pictures[:1], 1, ["00"]))


def test_a_lost_node_costs_only_what_it_had_not_answered(
    nodes: Nodes,
    connected: Cluster,
    pictures: list[Path],
    expected: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last of the tests that need two nodes."""
    vectors = connected.vectors(pictures, 1)
    found = [next(vectors)]
    nodes.remove_node(nodes.list_all_nodes()[1], allow_graceful=False)
    found += vectors
    assert np.array_equal(np.concatenate(found), expected)
    assert "a worker of the cluster is lost; workers left: 1\n" in capsys.readouterr().out


def test_a_cluster_without_cores(nodes: Nodes, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": False}])
    with pytest.raises(UserError, match="has neither CPUs nor GPUs"):
        Cluster(nodes.address, "torch", lite0(), "auto", "auto", files)
    ray.shutdown()


def test_no_cluster_and_no_ray(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = "torch", lite0(), "auto", "auto", files
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:9 \("):
        Cluster("127.0.0.1:9", *settings)  # type: ignore[arg-type]
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="not installed: run `pip install ray`"):
        Cluster("auto", *settings)  # type: ignore[arg-type]
