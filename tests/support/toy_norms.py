"""An analysis of a few lines, declared as any other. Nothing else in the program knows of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import Column, schema
from analysis.progress import checkpoint
from analysis.step import REGISTRY, Step, Work
from analysis.tasks.asking import ONE_PROMPT
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model


class NormsStep(Step):
    """Measure how long the residual stream is as it enters each layer."""

    kind: Literal["norms"] = "norms"
    prompt: Annotated[Prompt, ONE_PROMPT]
    first: int = Field(0, ge=0, description="The lowest layer that is looked at.")
    squared: bool = Field(False, description="Measure the square of the length.")

    ranked_by: ClassVar[str] = "layer"
    descending: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the layer"),
        Column("layer", pl.Int32, "its number, from 0"),
        Column("norm", pl.Float64, "length of the residual stream at the last position"),
    )

    @property
    def subject(self) -> str:
        return f"stream norms from layer {self.first}"

    def check(self, model: ModelInfo) -> None:
        """Refuse a layer that the model has not."""
        model.check_layer(self.first)

    def start(self, model: Model) -> Work:
        layers = range(self.first, model.info.layers)

        def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
            left = [layer for layer in layers if f"L{layer}" not in done]
            for layer, norm in stream_norms(model, self.prompt, left):
                row = {
                    "name": f"L{layer}",
                    "layer": layer,
                    "norm": norm**2 if self.squared else norm,
                }
                yield pl.DataFrame([row], schema=schema(self.columns))

        return Work(len(layers), frames)


def stream_norms(
    model: Model, prompt: Prompt, layers: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """Each of some layers with the length of the stream that enters it at the last position."""
    import torch

    with torch.no_grad():
        ids = torch.tensor([model.encode(prompt).ids], device=model.device)
        calls, _ = model.run(ids)
    for layer in layers:
        checkpoint()
        yield layer, calls[layer].entering[0, -1].norm().item()


REGISTRY.pop("norms")  # a test that wants it puts it back
