"""What the rows of a step are a picture of, told by its declared columns alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from analysis.columns import Column

Shape: TypeAlias = Literal[
    "heads",
    "positions",
    "neurons",
    "tokens",
    "contexts",
    "curve",
    "graph",
    "text",
    "attention",
    "table",
]
"""`heads`: a value for each layer × head. `positions`: for each layer × position of a prompt.
`neurons`: a ranking of neurons. `tokens`: the two ends of the vocabulary. `contexts`: places in a
text, each with what stands around it. `curve`: values by layer, or by how many edges are kept.
`graph`: nodes, each with the nodes it feeds, or the edges between them. `text`: tokens one after
the other. `attention`: queries × keys. `table`: anything else."""

_TOLD_BY: tuple[tuple[Shape, frozenset[str]], ...] = (
    ("attention", frozenset({"query", "key"})),
    ("graph", frozenset({"stage", "to", "weight"})),
    ("graph", frozenset({"source", "target"})),
    ("tokens", frozenset({"end", "rank", "token"})),
    ("contexts", frozenset({"context", "token"})),
    ("positions", frozenset({"layer", "position"})),
    ("neurons", frozenset({"layer", "neuron"})),
    ("text", frozenset({"step", "token", "token_id"})),
)
"""Columns that tell a shape, whatever else there is; the first that fits is meant."""
_AXES: tuple[tuple[Shape, frozenset[str]], ...] = (
    ("heads", frozenset({"layer", "head"})),
    ("curve", frozenset({"layer"})),
    ("curve", frozenset({"edges"})),
)
"""Whole-number columns that place a value, and no others: several epochs of a layer, or a head at
each position that it looks from, have no single place."""


def shape_of(columns: Iterable[Column]) -> Shape:
    """The shape of the frames with these columns."""
    columns = [each for each in columns if not each.detail]
    names = {each.name for each in columns}
    for shape, needed in _TOLD_BY:
        if needed <= names:
            return shape
    axes = {each.name for each in columns if each.dtype.is_integer()}
    if measures(columns):
        for shape, wanted in _AXES:
            if axes == wanted:
                return shape
    return "table"


def measures(columns: Iterable[Column]) -> list[str]:
    """Names of the columns that hold a number for each row, as they are declared.

    A share is none: it says how much is looked at.
    """
    floats = (each.name for each in columns if each.dtype.is_float() and not each.detail)
    return [name for name in floats if name != "share"]
