"""The heads by name, and how one is saved and loaded: tensors and JSON, never pickle."""

from stages.heads.base import Head
from stages.heads.knn import NearestNeighbours
from stages.heads.linear import Linear
from stages.heads.mlp import MLP
from stages.heads.prototype import Prototype

HEADS: dict[str, type[Head]] = {
    "linear": Linear,
    "knn": NearestNeighbours,
    "prototype": Prototype,
    "mlp": MLP,
}
