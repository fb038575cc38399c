"""Comparative Neuron Analysis: which neurons two runs differ in (paper section 4, Table 4)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field, field_validator, model_validator

from analysis.changes import Changes
from analysis.columns import LAYER, NAME, NEURON, Column
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.options import Given, Option, Typed, naming
from analysis.step import Step, Work
from analysis.steps.cna_cases import CnaCasesStep
from analysis.steps.neurons import COEFFICIENT, IMPORTANCE, TOKENS, TOP_OR_ALL, quoted
from analysis.tasks.asking import OF_A_TASK, ONE_PROMPT, read_prompt, read_prompts
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

ABLATE = Option(
    "ablate",
    "Heads and neurons the contrasting run is without, as L20H8,L3N7; scaled where a factor "
    "stands behind them. @FILE reads an exported mask. Can be repeated.",
    metavar="PARTS[=FACTOR]",
    several=True,
    changes=True,
)
AGAINST = Option("against", "Another prompt.")


def _ablated(given: Given) -> tuple[Intervention, ...] | None:
    with naming("--ablate"):
        return Changes.parse(given["ablate"]).interventions if given["ablate"] else None


def _against(given: Given) -> Prompt | None:
    return None if given["against"] is None else read_prompt(given, "against")


class CnaStep(Step):
    """Compare every neuron's importance between a run and a contrasting one.

    The contrast is the same prompt with parts ablated, another prompt, or, where the first run
    wears an adapter, the original model. The answer and the frozen final norm come from the
    first run.
    """

    kind: Literal["cna"] = "cna"
    prompt: Annotated[Prompt, ONE_PROMPT]
    ablate: Annotated[
        Intervention | tuple[Intervention, ...] | None, Typed((ABLATE,), _ablated)
    ] = None
    """What the contrasting run has changed; several only where their factors differ."""
    against: Annotated[Prompt | None, Typed((AGAINST,), _against)] = None
    adapter: Path | None = Field(
        None, description="A PEFT adapter folder, against the model without it."
    )
    """The first run wears it, the contrasting run does not."""
    top: Annotated[int | None, TOP_OR_ALL] = Field(default=100, ge=1)
    """How many of the largest changes to find exactly; None: score all neurons."""

    ranked_by: ClassVar[str] = "importance_change"
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "importance_change",
        "importance",
        "coefficient",
        "tokens",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        NAME,
        LAYER,
        NEURON,
        IMPORTANCE,
        Column("importance_contrast", pl.Float64, "importance in the contrasting run", "nats"),
        Column("importance_change", pl.Float64, "importance minus its contrast", "nats"),
        COEFFICIENT,
        Column("coefficient_contrast", pl.Float64, "coefficient score in the contrasting run"),
        Column("coefficient_change", pl.Float64, "coefficient score minus its contrast"),
        TOKENS,
    )

    @field_validator("ablate")
    @classmethod
    def _in_one_form(
        cls, ablate: Intervention | tuple[Intervention, ...] | None
    ) -> Intervention | tuple[Intervention, ...] | None:
        """Equal changes make equal steps; one alone stands as records have always held it."""
        if not isinstance(ablate, tuple):
            return ablate
        found = Changes.of(ablate).interventions
        if not found:
            raise ValueError("nothing is ablated; name heads or neurons")
        return found[0] if len(found) == 1 else found

    @model_validator(mode="after")
    def _one_contrast(self) -> CnaStep:
        if sum(each is not None for each in (self.ablate, self.against, self.adapter)) != 1:
            raise ValueError(
                "give one contrast: --ablate L20H8,L3N7, --against PROMPT or --adapter DIR"
            )
        return self

    @classmethod
    def options(cls, fixed: Collection[str] = ()) -> tuple[Option, ...]:
        """Those of one prompt, or of a task in its place."""
        known = super().options(fixed)
        return known if "prompt" in fixed else (*known, *OF_A_TASK)

    @classmethod
    def asked(cls, given: Given) -> tuple[Any, ...]:
        """CNA of one prompt, or over all cases of a task."""
        if given.values.get("task") is None:
            return super().asked(given)
        if given["against"] is not None or given["adapter"] is not None:
            raise InputError("over the cases of a --task the contrast is --ablate")
        ablate = _ablated(given)
        if ablate is None:
            raise InputError("name what the contrasting runs are without: --ablate L20H8,L3N7")
        over = CnaCasesStep.of(
            prompts=read_prompts(given), ablate=ablate, top=TOP_OR_ALL.read(given), seed=given.seed
        )
        return (over,)

    def over(self, prompts: PromptSet) -> CnaCasesStep | None:
        """The same over all cases of a set; None where the contrast is not the same model's."""
        if not self.contrast:
            return None
        return CnaCasesStep(
            prompts=prompts, ablate=self.contrast, top=self.top, changes=self.changes
        )

    @property
    def contrast(self) -> tuple[Intervention, ...]:
        """What the contrasting run has changed; nothing where it differs otherwise."""
        return (self.ablate,) if isinstance(self.ablate, Intervention) else self.ablate or ()

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(str(part) for part, _ in Changes.of(self.contrast).factors)

    @property
    def subject(self) -> str:
        if self.against is not None:
            return f"CNA · {quoted(self.prompt.prompt)} against {quoted(self.against.prompt)}"
        if self.adapter is not None:
            return f"CNA · {self.adapter.name} against original · {quoted(self.prompt.prompt)}"
        return f"CNA · intact against {self._changed} · {quoted(self.prompt.prompt)}"

    @property
    def _changed(self) -> Intervention | Changes:
        if isinstance(self.ablate, Intervention):
            return self.ablate
        return Changes.of(self.contrast)

    def start(self, model: Model) -> Work:
        from analysis.methods.neurons import cna_work

        return cna_work(model, self.prompt, self.contrast, self.against, self.adapter, self.top)
