"""Patterns of heads beside a sweep: read out at the cursor, found by name, copied with the rows."""

from __future__ import annotations

from dataclasses import replace

from hands import Idle
from made_up import detected
from piloting import Driver, driving
from replays import replay_of, replaying

from screens.messages import CopyRequested, StepRequested
from screens.widgets.prompt_text import PromptText


async def test_the_patterns_of_heads_stand_beside_their_sweep():
    workspace, messages = replay_of("example:addition", at="001-heads"), []
    found = replace(detected(("L3H0", "L20H1")), model=workspace.model)  # .10 and .60 previous
    workspace.replaying = False
    app = Idle(workspace)
    async with app.run_test(size=(80, 24), message_hook=messages.append) as pilot:
        user = Driver(app, pilot)
        app.action_visit("heads")
        await user.press("i")
        (asked,) = [each.step for each in messages if isinstance(each, StepRequested)]
        assert (asked.kind, asked.heads, asked.length) == ("detect", None, 50)
        assert "previous" not in user.text("#reading")
        await user.press("slash", *"previous", "enter")
        assert "not the name of a head" in user.text("Problem")
        await user.press("escape")
        workspace.put(found)
        await user.press("slash", "ctrl+u", *"Previous", "enter")
        reading = user.text("#reading")
        assert "L20H1" in reading
        assert "previous   0.60" in reading
        assert "first      0.30" in reading
        assert "induction" not in reading  # .25 is no pattern
        lines = [app.screen.map.render_line(y).text for y in range(app.screen.map.size.height)]
        assert sum(line[4:].count("p") for line in lines) == 1
        await user.press("y")
        (copied,) = [each for each in messages if isinstance(each, CopyRequested)]
        assert "previous" in copied.text.splitlines()[0]
        workspace.put(replace(found, model=found.model.model_copy(update={"name": "other"})))
        app.screen.refresh_all()
        await user.press("left", "right")
        assert "previous" not in user.text("#reading")


async def test_in_a_replay_a_head_leads_to_where_it_is_recorded_to_look():
    """In another case than the one in front: no model is there to look at that one."""
    async with driving(replaying("example:ioi", at="008-heads")) as user:
        await user.press("slash", *"L23H0", "enter", "v")
        assert user.here == "attention"
        assert "L23H0" in user.text("#title")
        assert "Mary" in user.app.screen.query_one(PromptText).render_line(0).text
