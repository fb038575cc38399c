"""What an edit does: to its target, to a text, to other tasks (paper section 6.2, Table 13)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.changes import Changes
from analysis.columns import Column
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.options import CHANGE, SEED, Given, Option, Typed, naming
from analysis.step import Step, Work
from analysis.tasks.asking import CASES, SHOTS, SOME_PROMPTS, read_some_prompts, read_task
from analysis.tasks.pairs import PromptPair, pairs_in
from analysis.tasks.prompts import PromptSet
from analysis.tasks.standard import ARITHMETIC
from analysis.tasks.texts import Text

if TYPE_CHECKING:
    from analysis.model.model import Model

AGAINST_TASKS = Option(
    "against_tasks", "Tasks that should not suffer, as sub1,mul1.", metavar="TASKS"
)
TEXT = Option(
    "text", "Text for perplexity; else a page that comes with the program.", Path, file=True
)


def _edit(given: Given) -> tuple[Intervention, ...]:
    with naming("--change"):
        edit = Changes.parse(given["change"] or ())
    if not edit:
        raise InputError("nothing is changed; name heads and neurons with --change L20H8")
    return edit.interventions


def _pairs(given: Given) -> tuple[PromptPair, ...]:
    """The pairs that the target task is made of, if it is."""
    prompts = given.fixed["prompts"] if "prompts" in given.fixed else read_some_prompts(given)
    return () if prompts is None else pairs_in(prompts)


def read_others(given: Given) -> tuple[PromptSet, ...]:
    """The tasks of `--against-tasks`; worked examples where the task takes them.

    Raises:
        InputError: one of them is no task.
    """
    wanted = [each.strip() for each in (given["against_tasks"] or "").split(",") if each.strip()]
    plain = {**given.values, "ops": None, "columns": None}
    return tuple(
        read_task(
            replace(given, values={**plain, "shots": given["shots"] if each in ARITHMETIC else 0}),
            each,
        )
        for each in wanted
    )


def read_text(given: Given) -> Text:
    """The text of `--text`, or the sample.

    Raises:
        InputError: it cannot be read.
    """
    return Text.sample() if given["text"] is None else Text.read(given["text"])


OTHERS = Typed((AGAINST_TASKS, SHOTS, CASES), read_others)
A_TEXT = Typed((TEXT,), read_text)


def _with_interval(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        Column(name, pl.Float64, meaning),
        Column(f"{name}_low", pl.Float64, "lower end of its 95 % bootstrap interval over cases"),
        Column(f"{name}_high", pl.Float64, "upper end"),
    )


class EvaluateStep(Step):
    """Measure the model before and after an edit, beside random parts edited the same way.

    A control scales as many random heads and neurons of the same layers by the same factors.
    """

    kind: Literal["evaluate"] = "evaluate"
    edit: Annotated[tuple[Intervention, ...], Typed((CHANGE,), _edit)] = Field(min_length=1)
    """What is scaled after, and not before."""
    prompts: Annotated[PromptSet | None, SOME_PROMPTS] = None
    """The target task."""
    pairs: Annotated[tuple[PromptPair, ...], Typed((), _pairs)] = ()
    """Pairs whose gap in log-probability is a target."""
    others: Annotated[tuple[PromptSet, ...], OTHERS] = ()
    """Tasks that should not suffer."""
    text: Annotated[Text | None, A_TEXT] = None
    """Running text that should not suffer."""
    text_tokens: int = Field(default=256, ge=2)
    """The text is read in pieces of so many tokens, or of the model's context if that is less."""
    controls: int = Field(3, ge=0, description="Random parts edited instead, so many draws.")
    """A case's control is their mean."""
    seed: Annotated[int, SEED] = 0

    ranked_by: ClassVar[str] = "name"
    brief: ClassVar[bool] = False
    lines: ClassVar[int] = 100
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "before",
        "after",
        "control",
        "change",
        "change_low",
        "change_high",
        "cases",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the measure"),
        Column("on", pl.String, "the task or text it is taken on"),
        Column("unit", pl.String, "its unit"),
        *_with_interval("before", "the measure before the edit"),
        *_with_interval("after", "after the edit"),
        *_with_interval("control", "with random parts of equal count edited instead"),
        *_with_interval("change", "after minus before, cases drawn in pairs"),
        Column("cases", pl.Int32, "how many cases, pairs or pieces of text it rests on"),
        Column("case_before", pl.List(pl.Float64), "the value of each case before", detail=True),
        Column("case_after", pl.List(pl.Float64), "the value of each case after", detail=True),
        Column("case_control", pl.List(pl.Float64), "its mean over the controls", detail=True),
    )

    @model_validator(mode="after")
    def _something_to_measure(self) -> EvaluateStep:
        if self.prompts is None and self.text is None and not (self.pairs or self.others):
            raise ValueError("nothing to measure; give a task, pairs or a text")
        if not Changes.of(self.edit):
            raise ValueError("nothing is changed; name heads or neurons")
        for each in self.others:
            each.require_answers()
        names = Counter(each.name for each in self.others)
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"the task {name} is given {count} times; give each once")
        return self

    @property
    def subject(self) -> str:
        """What is edited, and what it is measured on."""
        names = [self.prompts.name] if self.prompts is not None else []
        names += [f"{len(self.pairs)} pairs"] if self.pairs else []
        names += [each.name for each in self.others]
        names += [f"text {self.text.name}"] if self.text is not None else []
        return f"before and after {Changes.of(self.edit)} · {', '.join(names)}"

    def start(self, model: Model) -> Work:
        from analysis.changing.evaluation import evaluation_work, trials_on

        found = trials_on(model, self.prompts, self.pairs, self.text, self.text_tokens, self.others)
        return evaluation_work(model, self.edit, found, self.controls, self.seed)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """In the order they were measured: the target first, then what should not suffer."""
        return rows
