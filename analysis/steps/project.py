"""Reading a vector in the vocabulary: neurons, heads, words, residuals (paper Tables 4 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import Column
from analysis.prompts import Prompt
from analysis.step import Step, Work

if TYPE_CHECKING:
    from analysis.model import Model


class ProjectStep(Step):
    """Tokens at both ends of a vector: most promoted, most suppressed."""

    kind: Literal["project"] = "project"
    source: str
    """`L24N1493` a neuron's value, `L20H8` a head's output, `word:three` a word's embedding,
    `residual:12` the stream leaving a layer. Heads and residuals need a prompt."""
    through: int | None = Field(default=None, ge=0)
    """Attention layer whose value-output map is applied first."""
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

    @property
    def title(self) -> str:
        where = "" if self.through is None else f" through attention layer {self.through}"
        return f"{self.source}{where}"

    def start(self, model: Model) -> Work:
        from analysis.projection import start_projection

        return start_projection(self, model)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Promoted tokens first, then suppressed, each from its own end."""
        return rows.sort(["end", "rank"], descending=[True, False])
