"""What goes on with a stopped part of a step goes on to the whole."""

from __future__ import annotations

import pytest
from piloting import driving

from analysis.interventions import Intervention
from analysis.steps.cna_cases import CnaEachStep
from analysis.tasks.prompts import Prompt, PromptSet
from screens.chrome import OfferLine
from sessions import Rows, Session, record

CASES = PromptSet(
    name="some", prompts=tuple(Prompt(prompt=each, answer="5") for each in ("1+2", "3+1", "2+2"))
)


@pytest.fixture
def stopped(tiny_model):
    """A session whose CNA over cases was stopped in its first round."""
    step = CnaEachStep(prompts=CASES, ablate=(Intervention.parse("L1H2"),), top=3)
    with Session.create("mine", tiny_model.info, seed=0) as session:
        updates = record(session, step, tiny_model)
        next(each for each in updates if isinstance(each, Rows))
        updates.close()
    assert Session.open("mine").step(1).state != "done"


def states():
    return [(each.step.kind, each.state) for each in Session.open("mine").steps]


WHOLE = [("cna_each", "done"), ("cna_each", "done"), ("cna_cases", "done")]


def test_on_the_command_line(tiny_folder, stopped, workbench):
    workbench("resume", "mine", "--model", str(tiny_folder), "--device", "cpu")
    assert states() == WHOLE


async def test_in_the_program(live, stopped):
    async with driving(live()) as user:
        await user.until(lambda: user.app.screen.query_one(OfferLine).display)
        await user.press("enter")
        await user.until(lambda: states() == WHOLE)
