"""The list of jobs: what runs and waits, stopped, gone on with and shown from there."""

from __future__ import annotations

from piloting import driving

from screens.job_list import JobList
from screens.widgets.frame_table import FrameTable


def rows(user) -> list[tuple[str, str]]:
    table = user.app.screen.query_one(FrameTable)
    return [(row["state"], row["title"].split(" ")[0]) for row in table.copied(True).to_dicts()]


async def test_jobs_are_listed_stopped_and_gone_on_with(live, gate):
    async with driving(live()) as user:
        await user.until(lambda: user.app.workspace.model is not None)
        await user.press("r")
        await user.until(lambda: user.here == "heads")
        gate.let(2)
        await user.until(lambda: user.app.workspace.results[0].rows.height == 2)
        await user.press("J")
        assert isinstance(user.app.screen, JobList)
        await user.until(lambda: rows(user) == [("running", "add1")])
        await user.press("d")
        gate.let(1)
        await user.until(lambda: rows(user) == [("stopped", "add1")])
        await user.press("r")
        gate.let_all()
        await user.until(lambda: rows(user) == [("done", "add1")])
        await user.press("enter")
        assert user.here == "heads"
        assert user.app.screen.result.rows.height == 12
