"""`workbench demo`: the main job without a terminal UI, from a sweep to what neurons say."""

from __future__ import annotations

import time

from analysis.interventions import Intervention
from analysis.steps import CnaStep, HeadsStep, ProjectStep
from analysis.tasks.standard import task
from workbench.cli import narration, options, output
from workbench.cli.step_commands import OnModel, on_a_model
from workbench.cli.steps import Destination, follow, loaded, publish, recording


@on_a_model("adapter")
def demo(session: options.SessionName = None, *, on: OnModel) -> None:
    """Head sweep, CNA of the top head, tokens of its neurons: the main job, as tables."""
    begun = time.monotonic()
    settings = on.settings
    to = Destination(session, None, False)
    opened = loaded(settings)
    prompts = task("add1", shots=2)
    case = next(each for each in prompts.prompts if each.prompt.endswith("3 + 6 = "))
    narration.show_tokens(opened, case)
    with recording(session, settings, opened, hint="demo") as recorded:
        narration.say("1 of 3: which heads matter for one-digit addition")
        sweep = HeadsStep(prompts=prompts)
        rows = publish(
            recorded,
            follow(recorded, sweep, opened, settings, again=True),
            sweep,
            opened,
            to,
        )
        top = rows["name"][0]
        narration.say(f"2 of 3: which neurons head {top} drives, for 3 + 6")
        compare = CnaStep(prompt=case, ablate=Intervention.parse(top))
        rows = publish(
            recorded,
            follow(recorded, compare, opened, settings, again=True),
            compare,
            opened,
            to,
        )
        narration.say("3 of 3: what the first three of them say")
        for name in rows["name"][:3]:
            read = ProjectStep(source=name, prompt=case, top=8)
            found = follow(recorded, read, opened, settings, again=True).found()
            columns = ["end", "rank", "token", "logit"]
            output.print_table(found.rows, f"{name} in this run", columns)
        narration.say(f"done in {time.monotonic() - begun:.0f} s")
        print(f"workbench replay {recorded.name}")
