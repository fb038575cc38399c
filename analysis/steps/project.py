"""Reading a vector in the vocabulary: neurons, heads, words, residuals (paper Tables 4 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model


class ProjectStep(Step):
    """Tokens at both ends of a vector: most promoted, most suppressed."""

    kind: Literal["project"] = "project"
    source: str
    """`L24N1493` a neuron's value, `L20H8` a head's output, `attention:13` that of all heads of a
    layer, `word:three` a word's embedding, `residual:12` the stream leaving a layer. Heads,
    attention and residuals need a prompt."""
    through: int | None = Field(default=None, ge=0)
    """Attention layer whose value-output map is applied first."""
    by: int | None = Field(default=None, ge=0)
    """Only this head of that layer; None: all of them."""
    prompt: Prompt | None = None
    """With a prompt a neuron's contribution in that run is read, else its bare value."""
    top: int = Field(default=20, ge=1)

    key: ClassVar[str] = "token_id"
    ranked_by: ClassVar[str] = "logit"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("end", pl.String, "top: promoted; bottom: suppressed"),
        Column("rank", pl.Int32, "place from that end, 1 is the outermost"),
        Column("token", pl.String, "the token's text"),
        Column("token_id", pl.Int32, "its id"),
        Column("logit", pl.Float64, "its logit, frozen norm in a run"),
    )

    @model_validator(mode="after")
    def _a_head_of_a_layer(self) -> ProjectStep:
        if self.by is not None and self.through is None:
            raise ValueError("a head carries it through its layer; name that too")
        return self

    @property
    def carrier(self) -> str:
        """What it is passed through, in words; empty if nothing."""
        if self.through is None:
            return ""
        if self.by is not None:
            return f"through head {HeadRef(self.through, self.by)}"
        return f"through attention layer {self.through}"

    @property
    def subject(self) -> str:
        return f"{self.source} {self.carrier}".rstrip()

    def start(self, model: Model) -> Work:
        from analysis.methods.projection import projection_work

        return projection_work(model, self.source, self.through, self.by, self.prompt, self.top)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Promoted tokens first, then suppressed, each from its own end."""
        return rows.sort(["end", "rank"], descending=[True, False])
