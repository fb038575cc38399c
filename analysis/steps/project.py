"""Reading a vector in the vocabulary: neurons, heads, words, residuals (paper Tables 4 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.errors import InputError
from analysis.options import REQUIRED, Given, Option, Typed, single
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Step, Work
from analysis.tasks.asking import ONE_PROMPT, read_prompt
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

SOURCE = Option(
    "source",
    "L24N1493, L20H8, attention:13, word:three or residual:12.",
    default=REQUIRED,
    argument=True,
)
THROUGH = Option("through", "Attention layer or head to pass it through: 20, L20H8.")


def _carrier(given: Given) -> tuple[int | None, int | None]:
    """The layer of `--through`, and its head where one is named."""
    text = given["through"]
    if text is None:
        return None, None
    if text.isdecimal():
        return int(text), None
    try:
        head = HeadRef.parse(text)
    except InputError as error:
        raise InputError(f"--through {text}: write a layer or a head, as 20 or L20H8") from error
    return head.layer, head.index


def _read_in(given: Given) -> Prompt | None:
    return None if given["prompt"] is None else read_prompt(given)


class ProjectStep(Step):
    """Show the tokens at both ends of a vector: most promoted, most suppressed."""

    kind: Literal["project"] = "project"
    source: Annotated[str, single(SOURCE)]
    """`L24N1493` a neuron's value, `L20H8` a head's output, `attention:13` that of all heads of a
    layer, `word:three` a word's embedding, `residual:12` the stream leaving a layer. Heads,
    attention and residuals need a prompt."""
    through: Annotated[int | None, Typed((THROUGH,), lambda given: _carrier(given)[0])] = Field(
        default=None, ge=0
    )
    """Attention layer whose value-output map is applied first."""
    by: Annotated[int | None, Typed((), lambda given: _carrier(given)[1])] = Field(
        default=None, ge=0
    )
    """Only this head of that layer; None: all of them."""
    prompt: Annotated[Prompt | None, Typed(ONE_PROMPT.options, _read_in)] = None
    """With a prompt a neuron's contribution in that run is read, else its bare value."""
    top: int = Field(20, ge=1, description="How many rows to find.")
    looks_for: HeadRef | None = Field(
        None,
        description="Read it as the query of this head, as L20H8: the tokens whose keys it scores "
        "most and least, from the weights, as if they stood at the same position.",
    )
    reading: Literal["logit", "specific"] = Field(
        "logit",
        description="logit, as the paper has it; or specific: by how many standard deviations a "
        "token's logit is beyond that under the layer's neurons, which leaves out junk.",
    )

    newer: ClassVar[tuple[str, ...]] = ("looks_for", "reading")
    key: ClassVar[str] = "token_id"
    ranked_by: ClassVar[str] = "logit"
    narrow: ClassVar[tuple[str, ...]] = ("end", "rank", "token", "token_id", "logit", "specific")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("end", pl.String, "top: promoted or looked for; bottom: suppressed"),
        Column("rank", pl.Int32, "place from that end, 1 is the outermost"),
        Column("token", pl.String, "the token's text"),
        Column("token_id", pl.Int32, "its id"),
        Column("logit", pl.Float64, "its logit, frozen norm in a run; with looks_for q · k"),
        Column(
            "specific",
            pl.Float64,
            "by how many standard deviations its logit is beyond the mean of those under all "
            "neurons of the layer, each vector by its own norm",
            later=True,
        ),
    )

    @model_validator(mode="after")
    def _a_head_of_a_layer(self) -> ProjectStep:
        if self.by is not None and self.through is None:
            raise ValueError("a head carries it through its layer; name that too")
        if self.looks_for is not None and self.reading == "specific":
            raise ValueError("what a head looks for is no logit; leave out reading or looks_for")
        return self

    @property
    def filled(self) -> tuple[Column, ...]:
        return self.columns if self.reading == "specific" else self.columns[:-1]

    @property
    def about(self) -> tuple[str, ...]:
        return (self.source,)

    def telling_more(self, model: ModelInfo | None) -> ProjectStep:
        """With the reading that tells more of a part: with tied embeddings the logits are largest
        for tokens that are rare, whatever is read.

        Args:
            model: what is read; None: nobody knows.
        """
        part = NeuronRef.pattern.fullmatch(self.source) or HeadRef.pattern.fullmatch(self.source)
        if model is None or not model.tied or not part or self.looks_for is not None:
            return self
        return self.model_copy(update={"reading": "specific"})

    @property
    def carrier(self) -> str:
        """What it is passed through and what it is a query of, in words; empty if nothing."""
        words = []
        if self.through is not None and self.by is not None:
            words.append(f"through head {HeadRef(self.through, self.by)}")
        elif self.through is not None:
            words.append(f"through attention layer {self.through}")
        if self.looks_for is not None:
            words.append(f"as a query of {self.looks_for}")
        return ", ".join(words)

    @property
    def ends(self) -> tuple[str, str]:
        """What is said of the tokens at both ends."""
        if self.looks_for is None:
            return "promotes", "suppresses"
        return "looks for", "looks away from"

    @property
    def subject(self) -> str:
        what = " · specific" if self.reading == "specific" else ""
        return f"{self.source} {self.carrier}".rstrip() + what

    def check(self, model: ModelInfo) -> None:
        """Refuse a vector and a layer that the model has not."""
        model.check_source(self.source)
        if self.through is not None:
            model.check_layer(self.through, "--through")
        if self.looks_for is not None:
            model.check_head(self.looks_for)

    def start(self, model: Model) -> Work:
        from analysis.methods.projection import projection_work

        return projection_work(
            model,
            self.source,
            self.through,
            self.by,
            self.prompt,
            self.top,
            self.looks_for,
            self.reading,
        )

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Promoted tokens first, then suppressed, each from its own end."""
        return rows.sort(["end", "rank"], descending=[True, False])
