import numpy as np
import torch

from stages.features import Settings, _maps, _patches
from stages.insights.maps import Peaks


def test_each_row_of_a_sheet_is_one_layer_or_channel_where_there_are_few() -> None:
    """Fewer channels in a layer, and fewer pictures, than were asked for."""
    looked = [np.zeros((32, 32, 3), np.uint8)] * 3
    outputs = {"wide": torch.rand(20, 8, 8), "narrow": torch.rand(6, 4, 4)}
    maps = _maps("maps", "tiny", "pets", "a", "beagle", looked[0], outputs, 8)
    starts = [tile.lines[0] for tile in maps.tiles[:: maps.columns]]
    assert starts == ["wide", "narrow"]
    assert "the 6 channels" in maps.caption

    settings = Settings(pictures=1, layers={}, channels=8, searched=3, patches=8)
    peaks = Peaks.of(torch.rand(3, 20, 8, 8))
    patches = _patches("patches", "tiny", "pets", "wide", peaks, looked, [outputs], settings)
    starts = [tile.lines[0].split()[0] for tile in patches.tiles[:: patches.columns]]
    assert starts == ["channel", "channel"]
