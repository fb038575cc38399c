"""What neurons and heads fire on in running text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.errors import InputError
from analysis.methods.corpus.rows import shown
from analysis.options import REQUIRED, SEED, Option, single
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Step, Work
from analysis.tasks.corpora import A_CORPUS, Corpus

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

PARTS = Option(
    "parts",
    "Neurons, heads and whole layers, as L24N1493,L20H8 or L24 for all its neurons.",
    default=REQUIRED,
    argument=True,
)
NEXT_TO = 24
"""Characters on each side of a token in a table."""
_LAYER = re.compile(r"L(\d{1,5})", re.IGNORECASE)


def parse_parts(text: str) -> tuple[str, ...]:
    """Read names of neurons, heads and layers joined by commas, each once.

    Raises:
        InputError: an entry is none of these.
    """
    found: dict[str, None] = {}
    for entry in (each.strip() for each in text.split(",") if each.strip()):
        if match := _LAYER.fullmatch(entry):
            found[f"L{int(match[1])}"] = None
        elif HeadRef.pattern.fullmatch(entry):
            found[str(HeadRef.parse(entry))] = None
        elif NeuronRef.pattern.fullmatch(entry):
            found[str(NeuronRef.parse(entry))] = None
        else:
            raise InputError(f"{entry!r} is no neuron, head or layer; write L24N1493, L20H8 or L24")
    if not found:
        raise InputError("name neurons, heads or layers, as L24N1493,L20H8 or L24")
    return tuple(found)


def _around(tokens: list[str] | None, at: int | None) -> str | None:
    """A context cut to some characters on both sides of the token that is meant, in brackets."""
    if tokens is None or at is None or not 0 <= at < len(tokens):
        return None
    before, behind = "".join(tokens[:at]), "".join(tokens[at + 1 :])
    cut = "…" if len(before) > NEXT_TO else ""
    return f"{cut}{before[-NEXT_TO:]}[{tokens[at]}]{behind[:NEXT_TO]}"


def _state(name: str, dtype: pl.DataType | type[pl.DataType], meaning: str) -> Column:
    return Column(name, dtype, f"of a piece: {meaning}", detail=True)


_STATE = (
    _state("fired", pl.Int64, "tokens where the part fires"),
    _state("start", pl.Int64, "the place where it begins"),
    _state("end", pl.Int64, "the place where the next begins"),
    _state("documents", pl.Int64, "documents up to its end"),
    _state("found_kind", pl.List(pl.String), "top, bottom or sample, of each context kept"),
    _state("found_order", pl.List(pl.Float64), "what it was kept by"),
    _state("found_value", pl.List(pl.Float64), "its value"),
    _state("found_document", pl.List(pl.Int64), "its document"),
    _state("found_position", pl.List(pl.Int32), "the place of its token there"),
    _state("found_stratum", pl.List(pl.Int32), "the octave of its value"),
    _state("found_at", pl.List(pl.Int32), "which of its tokens is meant"),
    _state("found_tokens", pl.List(pl.List(pl.Int32)), "ids of its tokens"),
    _state("found_values", pl.List(pl.List(pl.Float32)), "the value at each of them"),
    _state("firing_document", pl.List(pl.Int64), "the document of each firing kept"),
    _state("firing_position", pl.List(pl.Int32), "its place there"),
    _state("firing_token", pl.List(pl.Int32), "its token's id"),
    _state("firing_following", pl.List(pl.Int32), "the id of the token behind it; −1: none"),
    _state("bins", pl.List(pl.Int32), "bins of values, 32 an octave, that are not empty"),
    _state("bin_counts", pl.List(pl.Int64), "tokens in each"),
    _state("word_ids", pl.List(pl.Int32), "ids of the distinct tokens, in its first row"),
    _state("words", pl.List(pl.String), "their texts, where no earlier piece has them"),
    _state("written", pl.List(pl.String), "tokens that the neuron's value promotes, in piece 2"),
    _state("written_z", pl.List(pl.Float64), "their z-scores over the layer's neurons"),
    _state("word_counts", pl.List(pl.Int64), "how often each came"),
)


class CorpusStep(Step):
    """Read running text, and show what neurons and heads fire on: contexts, tokens, quantiles.

    A neuron's value is its coefficient, a head's the norm of what it adds to the residual stream.
    """

    kind: Literal["corpus"] = "corpus"
    parts: Annotated[tuple[str, ...], single(PARTS, parse_parts)] = Field(min_length=1)
    text: Annotated[Corpus, A_CORPUS]
    contexts: int = Field(
        20, ge=1, description="How many contexts of each end, and tokens, of each part."
    )
    window: int = Field(
        512, ge=8, description="Tokens read at once, or the model's context if that is less."
    )
    above: float = Field(
        1.0,
        ge=0,
        description="A neuron of a gated FFN fires where |coefficient| is above this; one without "
        "a gate above 0, a head where its norm is among the largest 5 % of the first 1,024 tokens.",
    )
    seed: Annotated[int, SEED] = 0

    key: ClassVar[str] = "row"
    ranked_by: ClassVar[str] = "value"
    brief: ClassVar[bool] = False
    lines: ClassVar[int] = 60
    narrow: ClassVar[tuple[str, ...]] = ("name", "kind", "rank", "value", "token", "context")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the neuron or head"),
        Column(
            "kind",
            pl.String,
            "top, bottom or sample: a context; fires, next: a token that it fires on, or that "
            "follows; writes: one that a neuron's value promotes; quantile; share",
        ),
        Column(
            "rank", pl.Int32, "place, 1 is the outermost; of a sample and a quantile the percent"
        ),
        Column("document", pl.Int64, "the document's number, from 0"),
        Column("position", pl.Int32, "the token's place in it, from 0"),
        Column("token", pl.String, "the token"),
        Column("context", pl.String, "the text around it"),
        Column(
            "value",
            pl.Float64,
            "coefficient, or norm of a head's output; of fires and next the lift; of writes "
            "the z-score over the layer's neurons; of share the share of tokens where it fires",
        ),
        Column("count", pl.Int64, "how often, of fires, next and share"),
        Column("row", pl.String, "tells rows apart", wide=True),
        Column("tokens", pl.List(pl.String), "the context's tokens", detail=True),
        Column("values", pl.List(pl.Float64), "the value at each of them", detail=True),
        Column("at", pl.Int32, "which of them is meant", detail=True),
        *_STATE,
    )

    @model_validator(mode="after")
    def _parts_that_are(self) -> CorpusStep:
        parse_parts(",".join(self.parts))
        return self

    @property
    def about(self) -> tuple[str, ...]:
        return self.parts

    @property
    def subject(self) -> str:
        named = ", ".join(self.parts[:4]) + ", …" * (len(self.parts) > 4)
        return f"{named} in text {self.text.name}"

    def refs(self, neurons: int) -> list[HeadRef | NeuronRef]:
        """Every neuron and head, each once, in a model with so many neurons a layer."""
        found: dict[HeadRef | NeuronRef, None] = {}
        for each in self.parts:
            if match := _LAYER.fullmatch(each):
                found |= {NeuronRef(int(match[1]), place): None for place in range(neurons)}
            elif HeadRef.pattern.fullmatch(each):
                found[HeadRef.parse(each)] = None
            else:
                found[NeuronRef.parse(each)] = None
        return list(found)

    def check(self, model: ModelInfo) -> None:
        """Refuse parts that the model has not."""
        for each in self.parts:
            if match := _LAYER.fullmatch(each):
                model.check_layer(int(match[1]))
        for part in self.refs(1):
            if isinstance(part, HeadRef):
                model.check_head(part)
            else:
                model.check_neuron(part)

    def start(self, model: Model) -> Work:
        from analysis.methods.corpus.reading import corpus_work

        refs = self.refs(model.info.neurons)
        return corpus_work(
            model, self.text, refs, self.contexts, self.window, self.above, self.seed
        )

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A line has room for what stands next to the token alone."""
        cut = [_around(*each) for each in rows.select("tokens", "at").iter_rows()]
        return super().shown(rows).with_columns(context=pl.Series(cut, dtype=pl.String))

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the pieces come to together: part by part, its ends first."""
        return shown(rows, self.contexts, self.seed)
