"""Direct attribution: the logit difference as a sum over embedding, heads, FFNs and biases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import BaseModel, Field, model_validator

from analysis.columns import Column, tabled
from analysis.errors import InputError
from analysis.options import SEED, Given, Option, Typed, single
from analysis.refs import HeadRef
from analysis.shapes import Shape
from analysis.step import Step, Work
from analysis.steps.inputs import InputsStep
from analysis.steps.neurons import TOKENS, quoted
from analysis.steps.patch import Positions, parse_positions
from analysis.tasks.asking import OF_A_TASK, ONE_PROMPT, PROMPTS, WRONG, read_prompts
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

INPUTS = Option(
    "inputs",
    "Instead of parts of the model the tokens of the prompt: gradient × input and integrated "
    "gradients.",
    bool,
    False,
)
POSITIONS = Option(
    "positions",
    "With --sources: each position by itself, all at once, or some as 0,3,-1.",
    default="each",
    names=lambda: ("each", "all"),
)
INTERVALS = ("low", "high", "logprob_low", "logprob_high")

COLUMNS = (
    Column("unit", pl.String, "embedding, head, ffn, bias, neuron or source", wide=True),
    Column("name", pl.String, "the part"),
    Column("layer", pl.Int32, "its layer", wide=True),
    Column("head", pl.Int32, "the head's index in the layer", wide=True),
    Column("neuron", pl.Int32, "the neuron's index in the layer", wide=True),
    Column(
        "position", pl.Int32, "the place in the prompt that the head attends to, from 0", wide=True
    ),
    Column("token", pl.String, "the prompt's token there"),
    Column(
        "logit_difference",
        pl.Float64,
        "what it adds to the logit difference; to the answer's logit where nothing is wrong",
        "logits",
    ),
    Column("low", pl.Float64, "lower end of its 95 % interval", "logits"),
    Column("high", pl.Float64, "upper end, by bootstrap over the cases", "logits"),
    Column(
        "logprob_increase",
        pl.Float64,
        "what it adds to the answer's log-probability where it is written",
        "nats",
    ),
    Column("logprob_low", pl.Float64, "lower end of its 95 % interval", "nats"),
    Column("logprob_high", pl.Float64, "upper end, by bootstrap over the cases", "nats"),
    TOKENS,
    Column(
        "case_logit_difference",
        pl.List(pl.Float64),
        "what it adds to the logit difference of each case, in the order of the cases",
        "logits",
        detail=True,
    ),
    Column(
        "case_logprob_increase",
        pl.List(pl.Float64),
        "what it adds to the answer's log-probability in each case",
        "nats",
        detail=True,
    ),
)


class _TakenApart(BaseModel):
    """Into what runs are taken apart; a step of one case and one of several share it."""

    unit: Literal["head", "neuron"] = Field(
        "head",
        description="Into what: head (embedding, heads, FFNs and biases) or neuron (the FFNs' "
        "neurons).",
    )
    top: int = Field(100, ge=1, description="How many neurons, those that add or take most.")
    sources: tuple[HeadRef, ...] | None = Field(
        None, description="These heads by the positions that they attend to, as L23H3,L29H1."
    )
    positions: Annotated[Positions, single(POSITIONS, parse_positions)] = "each"
    """Of the sources."""

    ranked_by: ClassVar[str] = "logit_difference"
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "token",
        "logit_difference",
        "low",
        "high",
        "logprob_increase",
        "tokens",
    )
    columns: ClassVar[tuple[Column, ...]] = COLUMNS

    @model_validator(mode="after")
    def _of_heads(self) -> Self:
        if self.sources is not None and self.unit != "head":
            raise ValueError("--sources takes heads apart; leave --unit away")
        if self.sources is not None and not self.sources:
            raise ValueError("name the heads to take apart, as --sources L23H3")
        if self.sources is None and self.positions != "each":
            raise ValueError("--positions are those that heads attend to; name --sources too")
        if self.unit != "neuron" and self.top != type(self).model_fields["top"].default:
            raise ValueError("--top is how many neurons; give --unit neuron too")
        return self

    @property
    @abstractmethod
    def cases(self) -> tuple[Prompt, ...]:
        """What is run."""

    @property
    def filled(self) -> tuple[Column, ...]:
        """Intervals only of several cases; what no row has a value in is left out of tables."""
        needless = {"neuron", "tokens"} if self.unit == "head" else set()
        if len(self.cases) == 1:
            needless |= {*INTERVALS, "case_logit_difference", "case_logprob_increase"}
        found = (each for each in self.columns if each.name not in needless)
        if self.sources is not None:
            return tuple(found)
        return tuple(replace(each, wide=True) if each.name == "token" else each for each in found)

    @property
    def shape(self) -> Shape:
        """A map of heads, a ranking of neurons, or values along the prompt."""
        if self.sources is not None:
            return "curve"
        return "neurons" if self.unit == "neuron" else "heads"

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(map(str, self.sources or ()))

    def subject_of(self, what: str) -> str:
        """The title: into what, and of which cases."""
        into = f"top {self.top} neurons" if self.unit == "neuron" else ""
        if self.sources is not None:
            into = f"{', '.join(self.about)} by position"
        return " · ".join(filter(None, ["direct attribution", into, what]))

    def check(self, model: ModelInfo) -> None:
        """Refuse heads that the model has not."""
        for each in self.sources or ():
            model.check_head(each)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The largest share first, whatever its sign; sources along the prompt."""
        if self.sources is not None:
            return rows.sort("layer", "head", "position", maintain_order=True)
        size = pl.col("logit_difference").abs()
        return rows.sort(size, descending=True, nulls_last=True, maintain_order=True)

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Without what no row has a value in."""
        known = tabled(self.filled)
        return rows.select(each for each in self.narrow if each in known)

    def start(self, model: Model) -> Work:
        """Take the runs apart."""
        from analysis.methods.direct import direct_work, neurons_work, sources_work

        seed = getattr(self, "seed", 0)
        if self.sources is not None:
            return sources_work(model, self.cases, self.sources, self.positions, seed)
        if self.unit == "neuron":
            return neurons_work(model, self.cases, self.top, seed)
        return direct_work(model, self.cases, seed)


class DirectCasesStep(_TakenApart, Step):
    """Take the logit difference of cases apart into what each part adds, on the average."""

    kind: Literal["direct_cases"] = "direct_cases"
    prompts: Annotated[PromptSet, PROMPTS]
    seed: Annotated[int, SEED] = 0
    """Of the resamples of the intervals."""

    command: ClassVar[bool] = False
    brief: ClassVar[bool] = False

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        without = [at for at, each in enumerate(self.cases, 1) if not each.wrongs]
        if 0 < len(without) < len(self.prompts):
            raise ValueError(
                f"case {without[0]} of {self.prompts.name} has no wrong answer and others have: "
                "give all of them one, or none"
            )
        return self

    @property
    def cases(self) -> tuple[Prompt, ...]:
        return self.prompts.prompts

    @property
    def subject(self) -> str:
        return self.subject_of(f"mean over {self.prompts.title}")

    def for_case(self, prompt: Prompt) -> DirectStep:
        """The same of one case."""
        return DirectStep(prompt=prompt, **_how(self))


class DirectStep(_TakenApart, Step):
    """Take the logit difference apart into what embedding, heads, FFNs and biases add to it."""

    kind: Literal["direct"] = "direct"
    prompt: Annotated[Prompt, Typed((*ONE_PROMPT.options, WRONG), ONE_PROMPT.read)]

    also: ClassVar[tuple[Option, ...]] = (INPUTS,)

    @property
    def cases(self) -> tuple[Prompt, ...]:
        return (self.prompt,)

    @property
    def subject(self) -> str:
        return self.subject_of(quoted(self.prompt.prompt))

    @classmethod
    def options(cls, fixed: Collection[str] = ()) -> tuple[Option, ...]:
        """Those of one prompt, or of a task in its place."""
        known = super().options(fixed)
        return known if "prompt" in fixed else (*known, *OF_A_TASK)

    @classmethod
    def asked(cls, given: Given) -> tuple[Any, ...]:
        """One prompt taken apart, or all cases of a task; or the tokens of the prompt instead."""
        if given.values.get("task") is None:
            (step,) = super().asked(given)
            if given["inputs"] and step != cls(prompt=step.prompt):
                raise InputError("--inputs takes no parts; leave --unit, --top and --sources away")
            return (InputsStep.of(prompt=step.prompt),) if given["inputs"] else (step,)
        if given["inputs"]:
            raise InputError("--inputs reads one prompt at a time; give --prompt, not --task")
        prompts = read_prompts(given)
        first = {**given.fixed, "prompt": prompts.prompts[0]}
        (one,) = super().asked(replace(given, fixed=first))
        return (one.over(prompts).model_copy(update={"seed": given.seed}),)

    def over(self, prompts: PromptSet) -> DirectCasesStep:
        """The same over all cases of a set."""
        return DirectCasesStep.of(prompts=prompts, **_how(self))


def _how(step: DirectStep | DirectCasesStep) -> dict[str, Any]:
    """Into what a step takes runs apart, and of which variant."""
    return {name: getattr(step, name) for name in (*_TakenApart.model_fields, "changes")}
