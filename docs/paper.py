"""Writes docs/paper-on-smollm2.md from the example session: `make docs`."""

from __future__ import annotations

from pathlib import Path

from analysis.folders import write_durably
from analysis.paper.registry import TABLES
from analysis.paper.table import TableStep
from screens.markdown import table
from screens.text import count
from screens.words import markdown, verdict
from sessions import RecordedStep, Session

PAGE = Path(__file__).parent / "paper-on-smollm2.md"
READING = Path(__file__).parent / "paper-reading.md"
"""What people make of the numbers; the rest of the page is written by the program."""


def page() -> str:
    """What held and what did not, then every table."""
    session = Session.open("example:paper")
    records = {each.step.table: each for each in session.steps if isinstance(each.step, TableStep)}
    tables = [records[name] for name in TABLES if name in records]
    return "\n".join(
        [
            _opening(session, tables),
            READING.read_text("utf-8"),
            _summary(tables),
            *(_section(each) for each in tables),
        ]
    )


def _opening(session: Session, tables: list[RecordedStep]) -> str:
    info = session.info.model
    seconds = sum(each.info.seconds for each in session.steps)
    first = tables[0].step
    assert isinstance(first, TableStep)
    scale = first.scale
    return f"""# The paper on SmolLM2-135M

Every table of the paper, measured on {info.source}
({info.dtype}, {info.device}) by `workbench paper --scale {scale.name}`: {len(session.steps)} steps,
{count(round(seconds / 60))} minutes of two cores that had other work at the same time (alone they
take half an hour). Each case stands behind {scale.shots} worked
examples, because the model needs them. `workbench replay example:paper` shows all of this
on the screens, with no model; [method.md](method.md#the-papers-tables) says how each number
is made and when a claim counts as held. Written by `make docs` from the recorded session.
"""


def _summary(tables: list[RecordedStep]) -> str:
    rows = []
    for each in tables:
        base = each.info.baseline
        step = each.step
        assert isinstance(step, TableStep)
        rows.append([step.table, base["claim"], verdict(base), base["finding"]])
    return f"## At a glance\n\n{table(['table', 'claim', 'here', 'found'], rows, [False] * 4)}\n"


def _section(recorded: RecordedStep) -> str:
    assert isinstance(recorded.step, TableStep)
    return markdown(recorded.step, recorded.rows(), recorded.info.baseline)


if __name__ == "__main__":
    write_durably(PAGE, page().encode())
