"""CNA over all cases of a set: in every case, and the mean with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.changes import Changes
from analysis.columns import LAYER, NAME, NEURON, Column, fitted
from analysis.interventions import Intervention
from analysis.options import SEED
from analysis.refs import NeuronRef
from analysis.step import REGISTRY, Asking, Step, Work, asked_of
from analysis.steps.neurons import COEFFICIENT, IMPORTANCE, TOKENS, TOP_OR_ALL
from analysis.tasks.asking import PROMPTS
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

_CHANGES = (
    Column("importance_contrast", pl.Float64, "importance in the contrasting run", "nats"),
    Column("importance_change", pl.Float64, "importance minus its contrast", "nats"),
    COEFFICIENT,
    Column("coefficient_contrast", pl.Float64, "coefficient score in the contrasting run"),
    Column("coefficient_change", pl.Float64, "coefficient score minus its contrast"),
)


class CnaEachStep(Step):
    """Compare neurons' importance between runs with and without parts, in each case by itself."""

    kind: Literal["cna_each"] = "cna_each"
    prompts: Annotated[PromptSet, PROMPTS]
    ablate: tuple[Intervention, ...] = Field(min_length=1)
    """What the contrasting runs have changed."""
    top: Annotated[int | None, TOP_OR_ALL] = Field(default=100, ge=1)
    """How many of each case's largest changes to find exactly; None: score all neurons."""
    neurons: tuple[NeuronRef, ...] | None = None
    """Score these in every case instead."""

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "importance_change"
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("name", "importance_change", "importance", "tokens")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the neuron and the case"),
        Column("case", pl.Int32, "the case, from 1"),
        LAYER,
        NEURON,
        IMPORTANCE,
        *_CHANGES,
        Column("logprob", pl.Float64, "log-probability of the case's answer", "nats", detail=True),
        Column(
            "logprob_contrast", pl.Float64, "the same in the contrasting run", "nats", detail=True
        ),
        TOKENS,
    )

    @property
    def subject(self) -> str:
        which = "" if self.neurons is None else f" · {len(self.neurons):,} neurons"
        return f"{_subject(self.ablate)} · each case of {self.prompts.title}{which}"

    def part_of(self) -> CnaCasesStep:
        return CnaCasesStep(
            prompts=self.prompts, ablate=self.ablate, top=self.top, changes=self.changes
        )

    def start(self, model: Model) -> Work:
        from analysis.methods.case_neurons import each_case_work

        return each_case_work(model, self.prompts.prompts, self.ablate, self.top, self.neurons)


class CnaCasesStep(Step):
    """Rank neurons by how much more they add to the answers than without parts, on the average.

    In each case the largest changes are found and certified; whatever neuron is among them in any
    case is scored exactly in every case. Rows whose mean is above the most that a neuron left out
    can have are certified to be the first of all.
    """

    kind: Literal["cna_cases"] = "cna_cases"
    prompts: Annotated[PromptSet, PROMPTS]
    ablate: tuple[Intervention, ...] = Field(min_length=1)
    """What the contrasting runs have changed."""
    top: Annotated[int | None, TOP_OR_ALL] = Field(default=100, ge=1)
    """How many to find, in each case and on the average; None: score all neurons everywhere."""
    seed: Annotated[int, SEED] = 0
    """Of the resamples of the intervals."""

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "importance_change"
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "importance_change",
        "low",
        "high",
        "importance",
        "certified",
        "tokens",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        NAME,
        LAYER,
        NEURON,
        Column("importance", pl.Float64, "mean importance over the cases", "nats"),
        Column("importance_contrast", pl.Float64, "the same in the contrasting runs", "nats"),
        Column("importance_change", pl.Float64, "importance minus its contrast", "nats"),
        Column("low", pl.Float64, "lower end of the 95 % interval of the change", "nats"),
        Column("high", pl.Float64, "upper end, by bootstrap over the cases", "nats"),
        Column("cases_up", pl.Int32, "cases where the change is above 0"),
        Column("coefficient", pl.Float64, "mean coefficient score over the cases"),
        Column("coefficient_contrast", pl.Float64, "the same in the contrasting runs"),
        Column("coefficient_change", pl.Float64, "coefficient score minus its contrast"),
        Column("certified", pl.Boolean, "whether no neuron left out can come before it"),
        Column(
            "case_change",
            pl.List(pl.Float64),
            "importance minus its contrast in each case, in the order of the cases",
            "nats",
            detail=True,
        ),
        TOKENS,
    )

    @property
    def subject(self) -> str:
        return f"{_subject(self.ablate)} · mean over {self.prompts.title}"

    @property
    def contrast(self) -> tuple[Intervention, ...]:
        """What the contrasting runs have changed."""
        return self.ablate

    def summary(self, rows: pl.DataFrame) -> str:
        """How far the order is certain."""
        sure = int(rows["certified"].sum())
        return (
            f"exact in every case; the first {sure:,} of {rows.height:,} rows are certified: no "
            "neuron left out can come before them"
        )

    def for_case(self, prompt: Prompt) -> Step:
        """CNA of one case."""
        one = {"prompt": prompt, "ablate": self.ablate, "top": self.top, "changes": self.changes}
        return REGISTRY["cna"].of(**one)

    def asks(self) -> Asking:
        """The largest changes of each case, then all of them in every case."""
        from analysis.methods.case_neurons import facts, means, most_left_out, union

        each = CnaEachStep(
            prompts=self.prompts, ablate=self.ablate, top=self.top, changes=self.changes
        )
        rows, left_out = (yield each).rows, None
        if self.top is not None:
            left_out = most_left_out(rows)
            each = each.model_copy(update={"neurons": tuple(union(rows))})
            rows = (yield each).rows
        table = fitted(means(rows, self.top, left_out, self.seed), self.columns)
        baseline = facts(rows, table, left_out)
        return Work(table.height, lambda done: iter(() if done else (table,)), baseline)

    def start(self, model: Model) -> Work:
        return asked_of(self.asks(), model)

    def bound(self, model: Model) -> Work:
        """Bind it to the model itself: the steps it asks for carry its changes."""
        return self.start(model)


def _subject(ablate: tuple[Intervention, ...]) -> str:
    return f"CNA · intact against {Changes.of(ablate)}"
