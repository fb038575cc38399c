"""The step: one analysis as data. From its declaration come the command, the form, the record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, cast

import polars as pl
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from analysis.changes import Changes
from analysis.columns import Column, fitted, ordered, tabled
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.options import Given, Option, options_of, typed_fields
from analysis.shapes import Shape, shape_of
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.work import Frames, Work

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt, PromptSet


__all__ = ["EDITION", "EDITIONS", "REGISTRY", "Step", "Work", "parse_step"]

EDITION = 2
"""Of the method in docs/method.md. Raised when the same step comes to mean other numbers."""
EDITIONS = {
    2: "norms that centre (LayerNorm) take each vector's own mean away, where before they froze "
    "that of the run; and random controls never hold what they stand beside",
}
"""What each edition changed."""


@dataclass(frozen=True)
class Found:
    """What a finished step found, for the step that asked for it."""

    step: Step
    rows: pl.DataFrame
    """In rank order."""
    baseline: dict[str, Any]


Asking: TypeAlias = Generator["Step", Found, Work]
"""Yields the steps it needs, one after the other; is sent what each found; returns its own work."""


def answered(asking: Asking, answer: Callable[[Step], Found]) -> Work:
    """Answer every step that another one asks for, and return the work that comes of it.

    Args:
        asking: what `Step.asks` gave.
        answer: finds what a step comes to, by computing it or by looking it up.
    """
    try:
        wanted = next(asking)
        while True:
            wanted = asking.send(answer(wanted))
    except StopIteration as end:
        return cast(Work, end.value)


def asked_of(asking: Asking, model: Model) -> Work:
    """The work of a step that asks for others, all of it computed from nothing but the model.

    `sessions.ensure` keeps the steps that it asks for as well.
    """

    def computed(step: Step) -> Found:
        work = step.bound(model)
        return Found(step, step.ranked(pl.concat(list(work.frames(())))), work.baseline)

    return answered(asking, computed)


class Step(BaseModel, ABC):
    """One analysis or action with its parameters. Subclasses are found in `REGISTRY` by `kind`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """Discriminator; each subclass fixes it with a `Literal` of one value."""
    changes: tuple[Intervention, ...] = ()
    """Heads and neurons scaled in every run of the step: the model it looks at is this variant."""

    edition: ClassVar[int] = EDITION
    """The edition of the method that last changed what the step's numbers mean."""
    columns: ClassVar[tuple[Column, ...]]
    """The columns of the frames this step yields."""
    key: ClassVar[str] = "name"
    """The column whose values tell rows apart; resuming skips the values already on disk."""
    ranked_by: ClassVar[str]
    """The column the finished rows are ordered by in every table."""
    brief: ClassVar[bool] = True
    """Done in seconds, so it may run between two batches of a long step."""
    descending: ClassVar[bool] = True
    """Whether the largest value of `ranked_by` comes first."""
    narrow: ClassVar[tuple[str, ...]] = ()
    """The columns of its table on a terminal, the most wanted first; none: all that fit there."""
    lines: ClassVar[int] = 20
    """Rows of that table; files and JSON hold all of them."""
    newer: ClassVar[tuple[str, ...]] = ()
    """Fields that older records lack: JSON says nothing of one that has its default."""
    also: ClassVar[tuple[Option, ...]] = ()
    """Options that fill no field by themselves; `asked` or the printing of rows looks at them."""
    command: ClassVar[bool] = True
    """Whether its kind is a subcommand; a table is asked for by `paper`."""
    does: ClassVar[str] = ""
    """What it does to a model that may only be read, so that it is refused there: `trained`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        REGISTRY[cls.model_fields["kind"].default] = cls

    @classmethod
    def of(cls, **parameters: Any) -> Self:
        """Make a step of parameters that may not fit it.

        Raises:
            InputError: one of them does not, or they do not go together.
        """
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            raise InputError(_reason(cls.model_fields["kind"].default, error)) from error

    @classmethod
    def options(cls, fixed: Collection[str] = ()) -> tuple[Option, ...]:
        """What a user may say to ask for the step, on a command line, in a plan or in a form.

        Args:
            fixed: fields that are known already, and not asked for.
        """
        typed = [each for name, each in typed_fields(cls).items() if name not in fixed]
        known = options_of(typed)
        return (*known, *(each for each in cls.also if each not in known))

    @classmethod
    def askable(cls) -> bool:
        """Whether it can be asked for in words: whether every field it needs is typed."""
        typed = typed_fields(cls)
        fields = cls.model_fields.items()
        return all(name in typed or not each.is_required() for name, each in fields)

    @classmethod
    def asked(cls, given: Given) -> tuple[Self, ...]:
        """The steps that were asked for, which is one of most kinds.

        Raises:
            InputError: what was given makes none.
        """
        values = {
            name: given.fixed[name] if name in given.fixed else typed.read(given)
            for name, typed in typed_fields(cls).items()
        }
        return (cls.of(**values),)

    @classmethod
    def summary_line(cls) -> str:
        """What the step does, in one sentence: the help of its command, the title of its form."""
        return " ".join((cls.__doc__ or "").split("\n\n")[0].split())

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The JSON of a step on the model as it is says nothing of changes, nor of newer fields."""
        fields: dict[str, Any] = plain(self)
        for name in ("changes", *self.newer):
            if getattr(self, name) == type(self).model_fields[name].default:
                fields.pop(name, None)
        return fields

    @property
    def ordered_by(self) -> str:
        """The column that the rows of this very step are ordered by."""
        return self.ranked_by

    @property
    def filled(self) -> tuple[Column, ...]:
        """The columns that rows of this very step have values in: what is shown and written."""
        return self.columns

    @property
    def shape(self) -> Shape:
        """What its rows are a picture of."""
        return shape_of(self.filled)

    @property
    def about(self) -> tuple[str, ...]:
        """Names of the heads, neurons and other parts that it was asked for.

        Where they are rows of an earlier step, that is what it comes from.
        """
        return ()

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is measured, on what."""

    @property
    def title(self) -> str:
        """One line for people: what is measured, on what, and on which variant."""
        if not self.changes:
            return self.subject
        return f"{self.subject} · with {Changes.of(self.changes)}"

    def check(self, model: ModelInfo) -> None:
        """Refuse parameters that a model has no place for, as a layer it has not.

        Called before the step starts, and by forms, which know the model by what is recorded of it.

        Raises:
            InputError: one of them.
        """

    def fitted(self, fits: Callable[[Prompt], bool]) -> Self:
        """The step on those of its cases that fit a tokenizer; see `PromptSet.fitted`.

        Raises:
            InputError: none of them does.
        """
        sets = {name: each.fitted(fits) for name, each in self if isinstance(each, PromptSet)}
        return self.model_copy(update=sets) if sets else self

    @abstractmethod
    def start(self, model: Model) -> Work:
        """Ask the method for its work on a model: hand it the parameters as plain values.

        Whoever has a step to run calls `bound`, which also sees to its changes and columns.

        Raises:
            InputError: an argument does not fit this model.
        """

    def for_case(self, prompt: Prompt) -> Step | None:
        """The same of another case; None: the step reads no single one."""
        if getattr(self, "prompt", None) is None:
            return None
        return self.model_copy(update={"prompt": prompt})

    def over(self, prompts: PromptSet) -> Step | None:
        """What does for all cases of a set what this step does for one; None: nothing does."""
        return None

    def asks(self) -> Asking | None:
        """The steps whose rows this one is made of, asked for one by one.

        Returns:
            None where the step needs nothing but the model, as nearly all do.
        """
        return None

    def part_of(self) -> Step | None:
        """The step that alone asks for this one, and goes on with it; None: people ask for it."""
        return None

    def bound(self, model: Model) -> Work:
        """The work of the step on the variant of a model that its changes make.

        The model is that variant only while the step starts and while a frame is computed. Between
        two frames it is as it was, so other steps may run on it. Frames have the declared columns.

        Raises:
            InputError: an argument or a change does not fit this model.
        """
        self.check(model.info)
        for each in self.changes:
            model.info.check_parts(each)
        with model.changed(self.changes) if self.changes else nullcontext():
            work = self.start(model)
        estimates = None if work.estimates is None else ordered(work.estimates, self.columns)
        frames = partial(self._frames, model, work.frames)
        return replace(work, frames=frames, estimates=estimates)

    def _frames(
        self, model: Model, frames: Frames, done: Collection[str]
    ) -> Iterator[pl.DataFrame]:
        rows = iter(frames(done))
        try:
            while True:
                with model.changed(self.changes) if self.changes else nullcontext():
                    frame = next(rows, None)
                if frame is None:
                    return
                yield fitted(frame, self.columns, needed=(self.key, self.ordered_by))
        finally:
            if (close := getattr(rows, "close", None)) is not None:
                close()

    def run(self, model: Model, done: Collection[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield the step's frames, skipping the rows whose keys are in `done`."""
        yield from self.bound(model).frames(done)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows in the order every table shows them; ties keep the model's own order."""
        return rows.sort(
            self.ordered_by, descending=self.descending, maintain_order=True, nulls_last=True
        )

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Ranked rows as a table on a terminal has them; it leaves out what there is no room for.

        Args:
            rows: of the step, ranked.
        """
        names = {each.name for each in self.filled}
        return rows.select([each for each in self.narrow if each in names] or tabled(self.filled))

    def summary(self, rows: pl.DataFrame) -> str:
        """What the rows come to, in one line for people; empty where they speak for themselves."""
        return ""

    def agreement(self, rows: pl.DataFrame, estimates: pl.DataFrame | None) -> float | None:
        """Spearman's rank correlation of the estimates with the exact values, −1 to 1.

        None if there are no estimates or fewer than three rows to compare.
        """
        if estimates is None or self.ordered_by not in estimates.columns or rows.height < 3:
            return None
        both = self._beside(rows, estimates)
        value = both.select(pl.corr(self.ordered_by, "estimate", method="spearman")).item()
        return None if value is None or value != value else float(value)

    def worst_miss(self, rows: pl.DataFrame, estimates: pl.DataFrame) -> str:
        """The row whose estimate is farthest from its exact value, with both, in words."""
        far = (pl.col(self.ordered_by) - pl.col("estimate")).abs()
        both = self._beside(rows, estimates).sort(far, descending=True, nulls_last=True)
        name, exact, estimate = both.row(0)
        return f"{name}, {estimate:.3g} estimated and {exact:.3g} exact"

    def _beside(self, rows: pl.DataFrame, estimates: pl.DataFrame) -> pl.DataFrame:
        """Key, exact value and estimate of the rows that have both."""
        return rows.select(self.key, self.ordered_by).join(
            estimates.select(self.key, pl.col(self.ordered_by).alias("estimate")), on=self.key
        )


def _reason(kind: str, error: ValidationError) -> str:
    """The first thing wrong with a step. Our own words stand alone; pydantic's say where."""
    first = error.errors()[0]
    names = [part for part in first["loc"] if isinstance(part, str)]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return f"step {kind}: {': '.join([*names, first['msg']])}"


REGISTRY: dict[str, type[Step]] = {}
"""Every known step by kind, in the order of declaration."""


def parse_step(data: dict[str, Any]) -> Step:
    """Rebuild a step from its JSON form.

    Raises:
        InputError: the kind is unknown or the parameters do not fit it.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in REGISTRY:
        raise InputError(f"unknown step kind {kind!r}; known are {', '.join(REGISTRY)}")
    return REGISTRY[kind].of(**data)
