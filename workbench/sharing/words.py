"""A step's parameters in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from analysis.changes import Changes
from analysis.interventions import Intervention
from analysis.step import Step
from analysis.steps.neurons import quoted
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.texts import Text

NAMED = 6
"""Values of a list that are named; more are counted."""


def parameters(step: Step) -> Iterator[tuple[str, str]]:
    """The name and the value of each parameter that is set."""
    for name in type(step).model_fields:
        value = getattr(step, name)
        if name == "kind" or value is None or value == ():
            continue
        yield name.replace("_", " "), in_words(value)
        if isinstance(value, PromptSet) and len(value):
            yield f"first of {name.replace('_', ' ')}", in_words(value.prompts[0])


def in_words(value: Any) -> str:
    """A parameter's value as people say it. Of a path only the name: folders are one's own."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Prompt):
        answers = " or ".join(map(quoted, value.answers))
        return f"{quoted(value.prompt)} → {answers or 'its top prediction'}"
    if isinstance(value, PromptSet):
        return value.title
    if isinstance(value, Text):
        return f"{value.name} ({len(value.text):,} characters)"
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        if value and all(isinstance(each, Intervention) for each in value):
            return str(Changes.of(value))
        named = ", ".join(in_words(each) for each in value[:NAMED])
        return named if len(value) <= NAMED else f"{named} and {len(value) - NAMED:,} more"
    if isinstance(value, BaseModel) and not isinstance(value, Intervention):
        fields = ((name, getattr(value, name)) for name in type(value).model_fields)
        given = ((name.replace("_", " "), each) for name, each in fields if each is not None)
        return ", ".join(f"{name} {in_words(each)}" for name, each in given)
    return f"{value:g}" if isinstance(value, float) else str(value)
