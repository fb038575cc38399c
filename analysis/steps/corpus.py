"""temporary"""
from __future__ import annotations
from typing import ClassVar, Literal
import polars as pl
from analysis.columns import Column
from analysis.step import Step, Work

class CorpusStep(Step):
    """Find what neurons and heads fire on in a text."""
    kind: Literal["corpus"] = "corpus"
    parts: tuple[str, ...] = ()
    ranked_by: ClassVar[str] = "value"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "part"), Column("kind", pl.String, "kind"), Column("rank", pl.Int32, "rank"),
        Column("document", pl.String, "doc"), Column("position", pl.Int32, "pos"), Column("token", pl.String, "tok"),
        Column("context", pl.String, "ctx"), Column("value", pl.Float64, "value"),
        Column("tokens", pl.List(pl.String), "t", detail=True), Column("values", pl.List(pl.Float64), "t", detail=True),
        Column("at", pl.Int32, "t", detail=True),
    )
    @property
    def about(self): return self.parts
    @property
    def subject(self): return f"what {', '.join(self.parts)} fire on"
    def ranked(self, rows): return rows
    def start(self, model): raise NotImplementedError
