"""An analysis with a row for every layer and position, which is all that its picture needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl

from analysis.columns import Column, schema
from analysis.step import REGISTRY, Step, Work
from analysis.tasks.asking import ONE_PROMPT
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model


class StreamMapStep(Step):
    """Measure how long the residual stream is at every layer and position."""

    kind: Literal["streammap"] = "streammap"
    prompt: Annotated[Prompt, ONE_PROMPT]

    ranked_by: ClassVar[str] = "norm"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "layer and position"),
        Column("layer", pl.Int32, "the layer that the stream enters"),
        Column("position", pl.Int32, "place in the prompt, from 0"),
        Column("token", pl.String, "the prompt's token there"),
        Column("norm", pl.Float64, "length of the residual stream"),
    )

    @property
    def subject(self) -> str:
        return "stream norms"

    def start(self, model: Model) -> Work:
        import torch

        ids = model.encode(self.prompt).ids
        with torch.no_grad():
            calls, _ = model.run(torch.tensor([ids], device=model.device))

        def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
            for layer, call in enumerate(calls):
                norms = call.entering[0].norm(dim=-1).tolist()
                rows = [
                    {
                        "name": f"L{layer}@{place}",
                        "layer": layer,
                        "position": place,
                        "token": model.token(ids[place]),
                        "norm": norm,
                    }
                    for place, norm in enumerate(norms)
                ]
                left = [row for row in rows if row["name"] not in done]
                yield pl.DataFrame(left, schema=schema(self.columns))

        return Work(len(calls) * len(ids), frames)


REGISTRY.pop("streammap")  # a test that wants it puts it back
