"""A session to hand on whose texts would like to be markup, and commands of this checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from analysis.interventions import Intervention
from analysis.steps import (
    AblateStep,
    CnaStep,
    EvaluateStep,
    HeadsStep,
    HiddenStep,
    ProjectStep,
)
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import task
from analysis.tasks.texts import Text
from sessions import Session, record

HOSTILE = (
    "<script>alert(1)</script> [a](http://x.io) ![b](http://x.io/b.png) **c** `d` | e\n"
    '# f\n- g\n<img src=x onerror=alert(2)> https://x.io www.x.io \\| " \' """ {h} ${i} '
    "\u202ebidi\x1b[31m\r\n--- &amp; ~~j~~ \ud7ff\u2028"
)


def record_hostile(tiny_model) -> Session:
    """A session called `mine` whose texts would like to be markup."""
    case = Prompt(prompt="3 + 5 = ", answer="8")
    nasty = PromptSet(name=HOSTILE[:40], prompts=(Prompt(prompt="1<b>|`", answer="2|"), case))
    asked = (
        HeadsStep(prompts=task("add1", shots=2)),
        CnaStep(
            prompt=Prompt(prompt="<b>x</b>|*a*", answer="`"), ablate=Intervention.parse("L1H2")
        ),
        HeadsStep(prompts=nasty, changes=(Intervention.parse("L0H1,L2N3", 0.5),)),
        AblateStep(prompts=nasty, sets=(Intervention.parse("L1H1"), Intervention.parse("L1N2"))),
        ProjectStep(source="L0N7", top=3),
        HiddenStep(concepts=("1", "2", "|"), concepts_name="<i>few</i>", top_tokens=9),
        EvaluateStep(
            edit=(Intervention.parse("L1H1"),), prompts=task("sub1"), text=Text.sample(), controls=1
        ),
    )
    with Session.create("mine", tiny_model.info, seed=0, note=HOSTILE) as session:
        for step in asked:
            list(record(session, step, tiny_model))
    return Session.open("mine")


def process(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command run in a folder, with the packages of this checkout."""
    return subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
