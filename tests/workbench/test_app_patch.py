"""Screen 9: from two prompts that are typed to a map of what each place brings back."""

from __future__ import annotations

from dataclasses import replace

from made_up import patched
from piloting import driving

from screens.views import PositionsView
from screens.widgets.cell_map import PositionMap
from sessions import Session


async def test_a_typed_pair_is_patched_by_keys_alone(live):
    async with driving(live(), (100, 30)) as user:
        await user.settled()
        await user.press("n")
        for field in ("3 + 5 = ", "8", "3 + 4 = ", "7"):
            await user.type(field)
            await user.press("tab")
        await user.press("enter", "9", "r")
        await user.settled()
        assert "patch · residual · each position · denoising · logit difference" in user.seen
        assert "of the difference comes back" in user.text("#at-cursor")
        # At the strongest place once all are exact; the differing token stands under the other.
        (row,) = user.result.rows.sort("recovered", descending=True).head(1).to_dicts()
        assert row["name"] in user.text("#at-cursor")
        map = user.app.screen.query(PositionMap).first()
        strips = [map.render_line(y).text for y in map.geometry.below(map.size.height)]
        assert strips[0].split()[:4] == ["<s>", "3", "␣", "+"]
        assert strips[1].split() == ["4"]
        await user.press("u")
        await user.settled()
        assert user.result.step.unit == "attention"
        await user.press("w")
        assert len([each for each in user.app.screen.query(PositionsView) if each.display]) == 2
        assert "beside it" in user.text("#at-cursor")
        await user.press("w", "enter")
        await user.settled()
        assert user.result.step.unit == "head"
    steps = [each.step for each in Session.open("prompt-1").steps]
    assert [each.unit for each in steps] == ["residual", "attention", "head"]


async def test_prompts_without_a_second_one_are_told_how_to_get_it(live):
    async with driving(live(), (80, 24)) as user:
        await user.settled()
        await user.press("9")
        assert "type a corrupt prompt" in user.seen
        await user.press("r")
        assert not user.workspace.results


async def test_a_pair_of_maps_has_one_scale(replaying):
    async with driving(replaying("example:addition"), (120, 30)) as user:
        weak = patched(noising=True)
        rows = weak.rows.with_columns(weak.rows["recovered"] / 4)
        for place, each in enumerate(
            (patched(), replace(weak, held=replace(weak.held, rows=rows)))
        ):
            user.workspace.results.append(replace(each, id=f"{place}-patch"))
        user.workspace.show(user.workspace.results[-2], "patch")
        await user.press("9", "w")
        shown = [each.map for each in user.app.screen.query(PositionsView) if each.display]
        assert [map.scale for map in shown] == [(0.0, 1.0), (0.0, 1.0)]
