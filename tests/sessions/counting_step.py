"""A step that yields numbered rows in batches, and the model it pretends to run on."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar, Literal

import polars as pl

from analysis.columns import Column, schema
from analysis.errors import InputError
from analysis.model.info import ModelInfo, Parity
from analysis.step import Step, Work


def model_info(**changes: Any) -> ModelInfo:
    """A small made-up model."""
    fields: dict[str, Any] = {
        "name": "toy",
        "source": "makers/toy",
        "family": "llama",
        "architecture": "ToyForCausalLM",
        "weights_sha256": "a" * 64,
        "tokenizer_sha256": "b" * 64,
        "dtype": "float32",
        "device": "cpu",
        "layers": 2,
        "heads": 2,
        "kv_heads": 2,
        "neurons": 8,
        "width": 4,
        "vocabulary": 16,
        "context": 32,
        "parameters": 1000,
        "parity": Parity(logits=0.0, residual=0.0, neurons=0.0),
    }
    return ModelInfo(**{**fields, **changes})


class FakeModel:
    """Counts the batches asked of it and calls `before_batch` with the number of each."""

    def __init__(self, before_batch: Callable[[int], None] = lambda number: None) -> None:
        self.info = model_info()
        self.before_batch = before_batch
        self.asked: list[str] = []
        self.closed = False


class CountingStep(Step):
    """Rows `n0`, `n1`, … with a number that depends on nothing but the name."""

    kind: Literal["counting"] = "counting"
    count: int = 10
    batch: int = 3
    estimated: bool = False

    ranked_by: ClassVar[str] = "value"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the row"),
        Column("value", pl.Float64, "its value"),
        Column("detail", pl.List(pl.Float32), "its details", detail=True),
    )

    @property
    def subject(self) -> str:
        return f"counting to {self.count}"

    def start(self, model: Any) -> Work:
        if self.count < 0:
            raise InputError(f"cannot count to {self.count}")

        def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
            wanted = [n for n in range(self.count) if f"n{n}" not in done]
            try:
                for number, start in enumerate(range(0, len(wanted), self.batch)):
                    model.before_batch(number)
                    batch = wanted[start : start + self.batch]
                    model.asked += [f"n{n}" for n in batch]
                    yield expected_rows(batch)
            finally:
                model.closed = True

        estimates = None
        if self.estimated:
            names = [f"n{n}" for n in range(self.count)]
            estimates = pl.DataFrame({"name": names, "estimate": [0.5] * self.count})
        return Work(self.count, frames, {"value": 1.5, "prob": math.inf}, estimates)


def expected_rows(numbers: Collection[int]) -> pl.DataFrame:
    """What the step finds for these numbers."""
    return pl.DataFrame(
        {
            "name": [f"n{n}" for n in numbers],
            "value": [math.sin(n) for n in numbers],
            "detail": [[n / 2, n / 3] for n in numbers],
        },
        schema=schema(CountingStep.columns),
    )
