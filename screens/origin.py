"""Where what is shown comes from and why it is here, found in the steps there are.

A step that was asked for from a row of another one names that row. So the row is looked for in the
steps before it: first in the one that was in front when it was asked for, then in the latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import polars as pl

from analysis.columns import tabled
from analysis.shapes import measures
from analysis.step import Step
from analysis.tasks.prompts import Prompt
from screens.text import count, figure, one_line
from screens.words import called_kind
from screens.workspace import Result, Workspace

NAMED = 3
"""Parts that are told of; of more there is only how many."""


@dataclass(frozen=True)
class Origin:
    """A row of an earlier step that a later one is about."""

    result: Result
    name: str
    row: dict[str, Any]
    exact: bool


def origin(result: Result, workspace: Workspace) -> list[str]:
    """Which case a result is of, from which step it was asked for, and the row's numbers there.

    Returns:
        What matters most first; nothing where none of it is known.
    """
    step = result.step
    about = step.about or tuple(filter(None, [result.baseline.get("head")]))
    told = origin_of(about, workspace, result)
    prompt, cases = getattr(step, "prompt", None), [*map(_case, workspace.prompts.prompts)]
    if prompt is not None and len(cases) > 1 and _case(prompt) in cases:
        told.append(f"case {count(cases.index(_case(prompt)) + 1)} of {count(len(cases))}")
    return told


def origin_of(
    names: Sequence[str], workspace: Workspace, result: Result | None = None
) -> list[str]:
    """From which steps heads and neurons come, with their numbers there.

    Args:
        names: of the parts.
        workspace: the steps there are.
        result: what they are parts of; of it and of what came after it nothing is told.
    """
    found = [each for name in names[:NAMED] if (each := _found(name, workspace, result))]
    told: list[str] = []
    for source, rows in groupby(found, key=lambda each: each.result):
        words = [_facts(each, len(names) > 1) for each in rows]
        facts = words[0] if len(words) == 1 else [", ".join(each[:2]) for each in words]
        told += [f"← {called(source.step)}", *facts]
    if told and len(names) > NAMED:
        told.append(f"and {count(len(names) - NAMED)} more")
    return [one_line(each) for each in told]


def called(step: Step) -> str:
    """A step in a few words: `CNA of L20H8`, `sweep of add1`."""
    words = called_kind(step)
    prompts = getattr(step, "prompts", None)
    of = ",".join(step.about[:NAMED]) or ("" if prompts is None else prompts.name)
    return f"{words} of {of}" if of else words


def _found(name: str, workspace: Workspace, result: Result | None) -> Origin | None:
    """The row of that name, in the step that was in front or in the latest that has one."""
    for each in _before(workspace, result):
        if result is not None and not _same_case(result.step, each.step):
            continue
        if each.step.shape == "attention":  # a head has many rows there
            continue
        for rows, exact in ((each.rows, True), (each.estimates, False)):
            if rows is not None and (row := _row(each.step, rows, name)) is not None:
                return Origin(each, name, row, exact)
    return None


def _before(workspace: Workspace, result: Result | None) -> Iterator[Result]:
    """The results that one may come from, the likeliest first."""
    if result is None:
        yield from reversed(workspace.results)
        return
    front = workspace.find(workspace.came_from.get(result.id, ""))
    if front is not None:
        yield front
    known = [each.id for each in workspace.results]
    place = known.index(result.id) if result.id in known else 0
    yield from reversed(workspace.results[:place])


def _same_case(step: Step, other: Step) -> bool:
    """Whether two steps can be about one case, as far as they name any."""
    prompt, prompts = _single(step), getattr(other, "prompts", None)
    one = getattr(other, "prompt", None)
    cases = [one] if one is not None else [] if prompts is None else prompts.prompts
    return prompt is None or not cases or any(_case(prompt) == _case(each) for each in cases)


def _single(step: Step) -> Prompt | None:
    """The one case that a step is about."""
    prompts = getattr(step, "prompts", None)
    alone = prompts.prompts[0] if prompts is not None and len(prompts) == 1 else None
    return getattr(step, "prompt", alone)


def _case(prompt: Prompt) -> tuple[Any, ...]:
    """What makes a case the same: what is asked and what is answered, not the group it is in."""
    return prompt.prompt, prompt.messages, prompt.answer


def _row(step: Step, rows: pl.DataFrame, name: str) -> dict[str, Any] | None:
    columns = [each for each in ("name", "part") if rows.schema.get(each) == pl.String]
    if step.key != "name" or not columns:
        return None
    here = rows.filter(pl.any_horizontal(pl.col(each) == name for each in columns))
    return next(here.head(1).iter_rows(named=True), None)


def _facts(found: Origin, named: bool) -> list[str]:
    """The numbers of a row, what its step ranks by first."""
    result, row, facts = found.result, found.row, []
    step = result.step
    # Parts that sum up to something are no changes of it.
    base = {} if "sum" in result.baseline else result.baseline
    numbers = [each for each in measures(step.columns) if each in tabled(step.columns)]
    ranked = step.ordered_by if step.ordered_by in numbers else None
    value = None if ranked is None else row.get(ranked)

    def known(value: float, sign: bool = False) -> str:
        return f"{'' if found.exact else '~'}{figure(value, sign)}"

    if value is not None and found.exact:
        facts.append(f"rank {count(_rank(result, value))} of {count(result.rows.height)}")
    if ranked is not None and value is not None and isinstance(before := base.get(ranked), float):
        facts.append(f"change {known(value - before, sign=True)}")
    for name in numbers:
        value, words = row.get(name), name.replace("_", " ")
        before, after = base.get(name), row.get(f"{name}_contrast")
        if value is None or name.endswith(("_contrast", "_change")):
            continue
        if after is not None and step.ordered_by == f"{name}_change":
            facts.append(f"{words} {known(value)} → {known(after)}")
        elif not isinstance(before, float):
            facts.append(f"{words} {known(value)}")
        elif name != ranked:
            facts.append(f"{words} {figure(before)} → {known(value)}")
    return [" ".join([found.name, *facts[:1]]), *facts[1:]] if named else facts


def _rank(result: Result, value: float) -> int:
    """The place of a value among the exact rows of a ranking, from 1."""
    values = result.rows[result.step.ordered_by]
    return int((values > value if result.step.descending else values < value).sum()) + 1
