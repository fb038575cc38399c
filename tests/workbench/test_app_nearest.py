"""Escape undoes what is nearest, in the same order on every screen."""

from __future__ import annotations

from hands import Hands, hands, in_state, posts
from key_effects import opened
from made_up import paced

from screens.messages import StopRequested
from screens.widgets.inputs import FilterInput

FILTERED = ("prompts", "neurons", "change", "sessions", "paper", "result")
MARKED = ("heads", "neurons", "chain")
COMPUTING = {"heads": "heads", "neurons": "cna", "chain": "chain", "tokens": "project"}
COMPUTING |= {"change": "lora", "paper": "table"}
FOCUS = {"paper": "#cells", "change": "#measures", "result": "#rows"}
SCREENS = ("prompts", "heads", "neurons", "tokens", "chain", "change", "sessions", "paper")


async def arranged(user: Hands, screen: str) -> dict[str, object]:
    """Do all there is to undo on a screen; gives how to see that each is still there."""
    running = in_state(COMPUTING[screen], "running") if screen in COMPUTING else None
    given = opened(paced) if screen == "result" else running
    await user.begin("tokens" if screen == "prompts" else "prompts", replaying=False)
    user.app._trail.clear()
    before = user.here
    user.app.action_visit(screen)
    await user.pilot.pause()
    await user.begin(screen, replaying=False, focus=FOCUS.get(screen, ""), given=given)
    left = {}
    if screen in FILTERED:
        await user.press("slash", *("1" if screen == "prompts" else "a"), "enter")
        left["filter"] = lambda: user.app.front.table.filter_text
    if screen in MARKED:
        await user.press("space")
        left["marks"] = lambda: user.app.front.has_marks
    await user.press("question_mark")
    left = {"dialog": lambda: user.here == "KeyList", **left}
    if running is not None:
        asked = posts(StopRequested)(user)
        left["step"] = lambda: not asked()
    return {**left, "screen": lambda: before != user.app.front.NAME}


async def test_escape_undoes_the_nearest_thing_and_one_at_a_time(sessions_folder):
    async with hands() as user:
        for screen in (*SCREENS, "result"):
            left = await arranged(user, screen)
            assert all(there() for there in left.values()), (screen, left)
            for place, name in enumerate(left, start=1):
                await user.press("escape")
                still = [each for each, there in left.items() if there()]
                assert still == [*left][place:], (screen, name)
                if name == "step":
                    in_state(COMPUTING[screen], "stopped")(user.workspace)
        # A filter that is being typed is nearer than the marks.
        await user.begin("neurons", replaying=True)
        await user.press("slash", "a", "escape")
        assert (user.here, user.screen.filtered) == ("neurons", False)
        assert not user.screen.query_one(FilterInput).is_open
