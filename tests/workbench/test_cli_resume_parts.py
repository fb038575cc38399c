"""`workbench resume` of a step that others are made of goes on to the whole."""

from __future__ import annotations

from analysis.interventions import Intervention
from analysis.steps.cna_cases import CnaEachStep
from analysis.tasks.prompts import Prompt, PromptSet
from sessions import Rows, Session, record

CASES = PromptSet(
    name="some", prompts=tuple(Prompt(prompt=each, answer="5") for each in ("1+2", "3+1", "2+2"))
)


def test_a_stopped_cna_over_cases_is_gone_on_with_to_its_mean(tiny_folder, tiny_model, workbench):
    step = CnaEachStep(prompts=CASES, ablate=(Intervention.parse("L1H2"),), top=3)
    with Session.create("mine", tiny_model.info, seed=0) as session:
        updates = record(session, step, tiny_model)
        next(each for each in updates if isinstance(each, Rows))
        updates.close()
    assert Session.open("mine").step(1).state != "done"

    workbench("resume", "mine", "--model", str(tiny_folder), "--device", "cpu")
    steps = Session.open("mine").steps
    assert [each.step.kind for each in steps] == ["cna_each", "cna_each", "cna_cases"]
    assert {each.state for each in steps} == {"done"}
