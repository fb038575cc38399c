"""A recorded patch on the screen: the picture follows from what is patched."""

from __future__ import annotations

import replays
from piloting import driving
from tiny_folder import LAYERS

from screens.widgets.cell_map import HeadMap, PositionMap
from sessions import Session

PAIR = ("--prompt", "one abc", "--corrupt", "one xyz", "--answer", "e", "--wrong", "f")


async def test_patches_are_maps_of_positions_and_of_heads(on_tiny):
    on_tiny("patch", *PAIR, "--session", "mine")
    on_tiny("patch", *PAIR, "--unit", "head", "--session", "mine")
    stream, heads = Session.open("mine").steps
    async with driving(replays.replaying("mine", stream.id)) as user:
        await user.until(lambda: user.here == "result")
        await user.settled()
        shown = user.app.screen.query_one(PositionMap)
        assert shown.shape == (8, LAYERS)
        assert "recovered" in user.text("#at-cursor")
    async with driving(replays.replaying("mine", heads.id)) as user:
        await user.until(lambda: user.here == "result")
        await user.settled()
        assert user.app.screen.query_one(HeadMap).shape[0] == LAYERS
        assert "recovered" in user.text("#at-cursor")
        assert "neuron" not in user.text("#at-cursor")
