"""What the pieces of a corpus come to together: contexts, quantiles, shares, lifts. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

READ = "read"
"""The kind of the rows of one piece; all other kinds are made of them."""
WRITES = "writes"
"""The kind of the rows that tell which tokens a neuron promotes: of the weights, not of a text."""
KINDS = ("top", "bottom", "sample", "fires", "next", WRITES, "quantile", "share")
"""In the order they are shown in."""
BIN_BITS = 5
"""An octave of values has 2^5 bins."""
EXPONENTS = 16
"""Octaves below 1 and above it; what is nearer to 0 than 2^-16 is in one bin with it."""
BINS = 2 * ((2 * EXPONENTS) << BIN_BITS) + 1
ERROR = 1 / 64
"""Largest relative error of a quantile: half the width of its bin."""
NEAR = 10
"""Lowest octaves that are one with 0 where samples are drawn."""
STRATA = 2 * (2 * EXPONENTS - NEAR) + 1
SAMPLED = 2
"""Contexts drawn from the values of one octave."""
QUANTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
MOSTLY = 0.5
"""Share of tokens above which a part fires nearly everywhere, so that no token stands out."""
LEAST = 5
"""Times that a token must come among the firings to be ranked."""
_FIRINGS, _MOST, _FEWEST = 2**17, 2**12, 2**8


def firings_kept(parts: int) -> int:
    """How many firings of each part are kept, drawn evenly; all of them where there are no more."""
    return min(max(_FIRINGS // parts, _FEWEST), _MOST)


def draws(document: np.ndarray, position: np.ndarray, seed: int) -> np.ndarray:
    """Numbers that are as good as random, 0 to 1, the same for the same token of a corpus.

    The mixing function of SplitMix64 on document, position and seed.
    """
    with np.errstate(over="ignore"):
        x = (
            document.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            + position.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)
            + np.uint64(seed % 2**64) * np.uint64(0x8CB92BA72F3D8DD7)
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) / 2**53


def stratum_of(bins: Any) -> Any:
    """The octave that a bin is in, of tensors and of Polars expressions alike."""
    size = bins - BINS // 2
    octave = (size.abs() + (2**BIN_BITS - 1)) // 2**BIN_BITS
    return (octave - NEAR).clip(0) * size.sign() + STRATA // 2


def middle_of(bin: int) -> float:
    """The value in the middle of a bin."""
    size = abs(bin - BINS // 2)
    if size == 0:
        return 0.0
    octave, step = divmod(size - 1, 2**BIN_BITS)
    value = math.ldexp(1 + (step + 0.5) / 2**BIN_BITS, octave - EXPONENTS)
    return value if bin > BINS // 2 else -value


def shown(rows: pl.DataFrame, contexts: int, seed: int) -> pl.DataFrame:
    """The rows that people see, made of those of the pieces that are there so far.

    Args:
        rows: as they were recorded.
        contexts: how many of each kind.
        seed: of what was drawn.
    """
    read = rows.filter(pl.col("kind") == READ)
    if read.is_empty():
        return rows
    names = read["name"].unique(maintain_order=True)
    words = (
        read.select("word_ids", "words", "word_counts")
        .explode("word_ids", "words", "word_counts")
        .drop_nulls("word_ids")
        .group_by(token="word_ids")
        .agg(
            text=pl.col("words").drop_nulls().first().fill_null("?"),
            often=pl.col("word_counts").sum(),
        )
    )
    cumulated = _cumulated(read)
    found = read.select("name", *_columns(read, "found_")).explode(_columns(read, "found_"))
    found = found.drop_nulls("found_kind")
    tables = [
        *_ends(found, contexts),
        _samples(found, cumulated),
        *_lifts(read, words, contexts, seed),
        _quantiles(cumulated, found),
        _shares(read),
        _written(read),
    ]
    frame = pl.concat(tables, how="diagonal_relaxed")
    frame = _in_words(frame, words)
    order = {name: place for place, name in enumerate(names)}
    kinds = {kind: place for place, kind in enumerate(KINDS)}
    frame = frame.sort(
        pl.col("name").replace_strict(order, return_dtype=pl.Int32),
        pl.col("kind").replace_strict(kinds, return_dtype=pl.Int32),
        pl.col("rank"),
        maintain_order=True,
    ).with_columns(row=pl.format("{} {} {}", "name", "kind", "rank"))
    return _with_columns(frame, rows)


def piece_of(rows: pl.DataFrame, document: int) -> tuple[int, int]:
    """Where the piece begins that a document is in, and how many documents stand before it there.

    Args:
        rows: as they were recorded.
        document: its number.

    Returns:
        The place to read from, and what to skip; from the beginning where no piece is known.
    """
    pieces = rows.filter(kind=READ).select("start", "documents").unique().sort("documents")
    start = before = 0
    for place, documents in pieces.iter_rows():
        if documents > document:
            start = place
            break
        before = documents
    return start, document - before


def _columns(rows: pl.DataFrame, prefix: str) -> list[str]:
    return [name for name in rows.columns if name.startswith(prefix)]


def _with_columns(frame: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The same with the columns of the recorded rows, in their order and types."""
    lacking = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in rows.schema.items()
        if name not in frame.columns
    ]
    there = pl.Schema({name: rows.schema[name] for name in frame.columns})
    return frame.cast(there).with_columns(lacking).select(rows.columns)


def _ends(found: pl.DataFrame, contexts: int) -> Iterable[pl.DataFrame]:
    """The largest and the smallest, one a document."""
    for kind, descending in (("top", True), ("bottom", False)):
        best = found.filter(pl.col("found_kind") == kind).sort(
            "found_value",
            "found_document",
            "found_position",
            descending=[descending, False, False],
        )
        yield _contexts(best.with_columns(rank=pl.int_range(1, pl.len() + 1).over("name"))).filter(
            pl.col("rank") <= contexts
        )


def _contexts(found: pl.DataFrame) -> pl.DataFrame:
    return found.select(
        "name",
        "rank",
        kind=pl.col("found_kind"),
        value=pl.col("found_value"),
        document=pl.col("found_document"),
        position=pl.col("found_position"),
        at=pl.col("found_at"),
        ids=pl.col("found_tokens"),
        values=pl.col("found_values"),
    )


def _cumulated(read: pl.DataFrame) -> pl.DataFrame:
    """Of each part its bins, the lowest first, and the percent of tokens up to there."""
    bins = (
        read.select("name", "bins", "bin_counts")
        .explode("bins", "bin_counts")
        .drop_nulls()
        .group_by("name", "bins", maintain_order=True)
        .agg(pl.col("bin_counts").sum())
        .sort("name", "bins", maintain_order=True)
    )
    share = pl.col("bin_counts").cum_sum() / pl.col("bin_counts").sum()
    return bins.with_columns(percent=100 * share.over("name"))


def _at(cumulated: pl.DataFrame) -> pl.DataFrame:
    """For each part and percent the bin that the quantile is in."""
    wanted = pl.DataFrame({"rank": QUANTILES}, schema={"rank": pl.Int32})
    return (
        cumulated.join(wanted, how="cross")
        .filter(pl.col("percent") >= pl.col("rank") - 1e-9)
        .group_by("name", "rank", maintain_order=True)
        .agg(pl.col("bins").min())
    )


def _quantiles(cumulated: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The middles of bins, none beyond the values that are known to be the least and the most."""
    middles = {bin: middle_of(bin) for bin in range(BINS)}
    value = pl.col("bins").replace_strict(middles, return_dtype=pl.Float64)
    known = found.group_by("name").agg(
        least=pl.col("found_value").min(), most=pl.col("found_value").max()
    )
    return (
        _at(cumulated)
        .join(known, on="name", how="left", maintain_order="left")
        .select("name", "rank", kind=pl.lit("quantile"), value=value.clip("least", "most"))
    )


def _samples(found: pl.DataFrame, cumulated: pl.DataFrame) -> pl.DataFrame:
    """For each quantile a context drawn from those of its octave, each once."""
    found = found.filter(pl.col("found_kind") == "sample").sort(
        "found_order", "found_document", "found_position", descending=[True, False, False]
    )
    nth = pl.int_range(pl.len())
    found = found.with_columns(nth=nth.over("name", "found_stratum"))
    found = found.filter(pl.col("nth") < SAMPLED)  # of all pieces together
    wanted = _at(cumulated).with_columns(found_stratum=stratum_of(pl.col("bins")).cast(pl.Int32))
    wanted = wanted.with_columns(nth=nth.over("name", "found_stratum"))
    return _contexts(wanted.join(found, on=["name", "found_stratum", "nth"], how="inner"))


def _lifts(
    read: pl.DataFrame, words: pl.DataFrame, contexts: int, seed: int
) -> Iterable[pl.DataFrame]:
    """The tokens a part fires on, and those that follow, by how much likelier they are there."""
    columns = _columns(read, "firing_")
    kept = firings_kept(read["name"].n_unique())
    found = read.select("name", *columns).explode(columns).drop_nulls()
    document, position = (found[f"firing_{each}"].to_numpy() for each in ("document", "position"))
    found = (
        found.with_columns(order=draws(document, position, seed))
        .sort("order", "firing_document", "firing_position", descending=[True, False, False])
        .filter(pl.int_range(pl.len()).over("name") < kept)
    )
    total = words["often"].sum()
    rare = _shares(read).filter(pl.col("value") <= MOSTLY).select("name")
    found = found.join(rare, on="name", how="semi", maintain_order="left")
    for kind, column in (("fires", "firing_token"), ("next", "firing_following")):
        here = found.filter(pl.col(column) >= 0).with_columns(all=pl.len().over("name"))
        yield (
            here.group_by("name", id=column)
            .agg(count=pl.len(), all=pl.col("all").first())
            .filter(pl.col("count") >= LEAST)
            .join(words, left_on="id", right_on="token", how="inner")
            .with_columns(value=pl.col("count") / pl.col("all") / (pl.col("often") / total))
            .filter(pl.col("value") > 1)  # others are what it does not fire on
            .sort("value", "count", "id", descending=[True, True, False])
            .with_columns(rank=pl.int_range(1, pl.len() + 1).over("name"))
            .filter(pl.col("rank") <= contexts)
            .select("name", "rank", "value", "count", kind=pl.lit(kind), token=pl.col("text"))
        )


def _shares(read: pl.DataFrame) -> pl.DataFrame:
    counted = read.group_by("name", maintain_order=True).agg(
        pl.col("fired").sum(), tokens=pl.col("count").sum()
    )
    value = pl.col("fired") / pl.col("tokens")
    return counted.select("name", kind=pl.lit("share"), rank=1, value=value, count=pl.col("fired"))


def _written(read: pl.DataFrame) -> pl.DataFrame:
    """The tokens that neurons write, which stand in the rows of the first piece."""
    found = read.select("name", "written", "written_z").drop_nulls().explode("written", "written_z")
    return found.select(
        "name",
        kind=pl.lit(WRITES),
        rank=pl.int_range(1, pl.len() + 1).over("name"),
        token="written",
        value="written_z",
    )


def _in_words(frame: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    """The same with the tokens of contexts as texts, and those together as one."""
    frame = frame.with_row_index("line")
    texts = (
        frame.select("line", "ids", "at")
        .drop_nulls()
        .explode("ids")
        .join(words, left_on="ids", right_on="token", how="left", maintain_order="left")
        .group_by("line", maintain_order=True)
        .agg(tokens=pl.col("text"), at=pl.col("at").first())
        .with_columns(
            context=pl.col("tokens").list.join(""), meant=pl.col("tokens").list.get(pl.col("at"))
        )
        .drop("at")
    )
    frame = frame.join(texts, on="line", how="left", maintain_order="left")
    return frame.with_columns(token=pl.coalesce("token", "meant")).drop("line", "ids", "meant")
