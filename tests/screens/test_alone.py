"""A screen with nothing behind it but a runner of ten lines."""

from __future__ import annotations

from piloting import driving
from recorded_chain import open_chain
from replays import unmeasured

from workbench.app import WorkbenchApp


class FakeRunner:
    def __init__(self):
        self.asked = []

    def start(self): ...
    def close(self): ...
    def read_case(self): ...
    def ask(self, step, stay=False):
        self.asked.append(step)


async def test_r_on_the_heads_asks_for_a_sweep_of_the_prompts_at_hand(sessions_folder):
    runner, workspace = FakeRunner(), unmeasured()
    workspace.model = open_chain().info.model
    async with driving(WorkbenchApp(workspace, None, runs=runner)) as user:
        await user.press("2", "r")
        (step,) = runner.asked
        assert (step.kind, step.prompts) == ("heads", workspace.prompts)
