"""One pass over text: where chosen neurons and heads are largest and smallest, and how often."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from analysis.methods.corpus.best import Best, highest
from analysis.methods.corpus.rows import (
    BIN_BITS,
    BINS,
    EXPONENTS,
    READ,
    SAMPLED,
    STRATA,
    draws,
    firings_kept,
    stratum_of,
)
from analysis.methods.corpus.values import Watch
from analysis.methods.corpus.windows import Batch, Window, Windows
from analysis.methods.replacing import split
from analysis.methods.specific import specific
from analysis.progress import checkpoint, tell
from analysis.refs import HeadRef, NeuronRef
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.corpora import Corpus, TextDocument

BEFORE, BEHIND = 32, 12
"""Tokens of a context before the one that is meant and behind it, as far as its window goes."""
WIDTH = BEFORE + 1 + BEHIND
BATCH = {"cpu": 2_048, "cuda": 32_768}
"""Tokens of a batch, by device."""
VALUES = 2**25
"""Values of all parts in a batch."""
BATCHES = 16
"""How many batches' worth of text is sorted by length at once."""
TOKENIZED = 64
"""Documents that are tokenized at once."""
FIRST, LEVEL = 1_024, 0.95
"""A head fires above what this share of so many tokens, the first ones, stay below."""
WRITTEN = 10
"""Tokens that a neuron's value promotes which are told."""
READ_AT_ONCE = 64
"""Values that are read in the vocabulary together."""
PIECES, PIECE_BYTES = 64, 2**13
"""A corpus is read in so many pieces, but in none of fewer bytes: a frame is a piece, and what a
killed run has lost is part of one."""


SECOND = 1
"""The piece whose rows say what neurons write: the first contexts need not wait for that."""


@torch.no_grad()
def corpus_work(
    model: Model,
    corpus: Corpus,
    parts: Sequence[HeadRef | NeuronRef],
    contexts: int = 20,
    window: int = 512,
    above: float = 1.0,
    seed: int = 0,
) -> Work:
    """Read a corpus once, piece by piece; a row a piece and part.

    Args:
        model: the model.
        corpus: the text.
        parts: neurons, whose coefficients are read, and heads, of which it is the norm of what they
            add to the residual stream.
        contexts: how many of each kind are kept.
        window: tokens that are read at once at most.
        above: what |coefficient| must exceed to count as firing, where the FFN has a gate; where it
            has none, neurons fire above 0.
        seed: of everything random.
    """
    reader = corpus.open()
    pieces = min(max(corpus.bytes // PIECE_BYTES, 1), PIECES)
    reading = _CorpusPass(model, parts, contexts, window, seed)
    reading.set_levels(above, reader(0))

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        """Each piece that is not done; its documents are numbered behind those of the pieces before
        it, so these are needed: what `recall` was told of is not read again."""
        place, number = 0, 0
        for piece in range(pieces):
            key = _key(piece, pieces)
            known = reading.known.get(key)
            if known is None:
                end = reading.known.get(_key(piece + 1, pieces))
                read = _Piece(piece, pieces, place, number, None if end is None else end[0])
                frame, place, number = reading.read(key, reader(place), read)
                if piece == min(SECOND, pieces - 1):
                    said = _written(model, parts)
                    frame = frame.join(said, on="name", how="left", maintain_order="left")
                if key not in done:
                    yield frame
            else:
                _, place, number = known

    return Work(
        pieces * len(parts),
        frames,
        reading.baseline | {"pieces": pieces},
        memory=reading.memory,
        recall=reading.recall,
    )


@torch.no_grad()
def _written(model: Model, parts: Sequence[HeadRef | NeuronRef]) -> pl.DataFrame:
    """The tokens that neurons write: those their values promote more than the values of their layer
    do, as `project --reading specific` shows them. What a head writes depends on the run."""
    found = []
    neurons = sorted(each for each in parts if isinstance(each, NeuronRef))
    for layer, some in groupby(neurons, key=attrgetter("layer")):
        for names in split(list(some), READ_AT_ONCE):
            checkpoint()
            values = model.values(layer, torch.tensor([each.index for each in names]))
            best = specific(model, values, layer).topk(WRITTEN)
            for name, scores, ids in zip(names, *map(Tensor.tolist, best), strict=True):
                tokens = [model.token(each) for each in ids]
                found.append({"name": str(name), "written": tokens, "written_z": scores})
    return pl.DataFrame(
        found,
        schema={
            "name": pl.String,
            "written": pl.List(pl.String),
            "written_z": pl.List(pl.Float64),
        },
    )


def _key(piece: int, pieces: int) -> str:
    return f"piece {piece + 1} of {pieces}"


@dataclass(frozen=True)
class _Piece:
    """A stretch of the corpus."""

    number: int
    pieces: int
    start: int
    """The place where it begins."""
    documents: int
    """Documents before it."""
    end: int | None
    """The place where the next piece began, if it was read before."""

    def has(self, document: TextDocument, place: int) -> bool:
        """Whether a document that begins at a place is part of it."""
        if self.end is not None:
            return place < self.end
        return document.share < (self.number + 1) / self.pieces or self.number + 1 == self.pieces


class _CorpusPass:
    """What is known of the parts so far, and what reads on."""

    def __init__(
        self,
        model: Model,
        parts: Sequence[HeadRef | NeuronRef],
        contexts: int,
        window: int,
        seed: int,
    ) -> None:
        self._model, self._parts, self._seed = model, parts, seed
        self._watch = Watch(model, parts)
        device, count = model.device, len(parts)
        batch = min(BATCH.get(device.type, BATCH["cpu"]), max(VALUES // count, window))
        self._windows = Windows(model, window, batch, seed)
        self._slab = BATCHES * batch
        self._top = Best(count, contexts, device, single=True)
        self._bottom = Best(count, contexts, device, single=True)
        self._sample = Best(count * STRATA, SAMPLED, device)
        self._firings = Best(count, firings_kept(count), device)
        self._groups = torch.arange(count, device=device)
        self._told: set[int] = set()
        """Tokens whose texts stand in rows."""
        self.known: dict[str, tuple[int, int, int]] = {}
        """Of each piece that was read before where it begins, where the next one does, and how many
        documents there are up to there."""
        self.baseline: dict[str, Any] = {
            "window": self._windows.longest,
            "overlap": self._windows.overlap,
            "layers_run": self._watch.deepest + 1,
        }

    def set_levels(self, above: float, documents: Iterator[TextDocument]) -> None:
        """Say above what each part fires.

        What is large for a head only the text can tell: its level is the norm that 5 % of the first
        tokens come above.

        Args:
            above: that of |coefficient| where the FFN has a gate.
            documents: the text from its beginning.
        """
        layer = self._model.parts.layers[0]
        gated = layer.ffn_gate is not None or layer.ffn_gate_up is not None
        heads = [isinstance(each, HeadRef) for each in self._parts]
        levels = torch.full((len(heads),), above if gated else 0.0)
        self._signed = torch.tensor([not (gated or head) for head in heads])
        words = f"|m| above {above:g}" if gated else "m above 0"
        if any(heads):
            tell(None, "how large heads' outputs are")
            found = self._first_values(documents)[:, heads]
            levels[heads] = found.quantile(LEVEL, dim=0) if len(found) else torch.inf
            self.baseline["head_levels"] = {
                str(each): level
                for each, level, head in zip(self._parts, levels.tolist(), heads, strict=True)
                if head
            }
        if not all(heads):
            self.baseline["fires"] = words
        self._levels = levels.to(self._model.device)
        self._signed = self._signed.to(self._model.device)

    def _first_values(self, documents: Iterator[TextDocument]) -> Tensor:
        """[T, P] of the first tokens of a text, on the CPU."""
        windows: list[Window] = []
        for document in documents:
            windows += self._windows.of([document.text], 0)
            if sum(len(each.ids) for each in windows) >= FIRST:
                break
        found = [
            self._watch.values(batch.tokens)[batch.counted].cpu()
            for batch in self._windows.batches(windows)
        ]
        return torch.cat(found)[:FIRST] if found else torch.zeros(0, len(self._parts))

    @property
    def memory(self) -> int:
        """Roughly the bytes it takes at its peak, beyond the model."""
        count, info = len(self._parts), self._model.info
        span = WIDTH * 12
        kept = count * (2 * self._top.keep + 20 * SAMPLED) * span
        kept += count * (firings_kept(count) * 48 + BINS * 8)
        batch = self._slab // BATCHES
        run = batch * (6 * info.width + 3 * info.neurons) * 4
        return kept + run + batch * count * 40 + 2 * info.vocabulary * 8

    def read(
        self, key: str, documents: Iterator[TextDocument], piece: _Piece
    ) -> tuple[pl.DataFrame, int, int]:
        """Read one piece; its rows, where the next begins, and documents up to there."""
        self._tally = _Tally(len(self._parts), self._model)
        place, number = piece.start, piece.documents
        windows: list[Window] = []
        texts: list[str] = []
        share = piece.number / piece.pieces

        def take() -> None:
            windows.extend(self._windows.of(texts, number - len(texts)))
            texts.clear()

        for document in documents:
            if not piece.has(document, place):
                break
            texts.append(document.text)
            place, number, share = document.next, number + 1, document.share
            if len(texts) == TOKENIZED:
                checkpoint()
                take()
                if sum(len(each.ids) for each in windows) >= self._slab:
                    self._run(windows, piece, share, number)
                    windows = []
        take()
        self._run(windows, piece, share, number)
        return self._rows(key, piece, place, number), place, number

    def _run(self, windows: list[Window], piece: _Piece, share: float, number: int) -> None:
        """Run windows, and tell how far that is in the piece."""
        rows = len(self._parts)
        left = sum(len(each.ids) for each in windows)
        whole = left
        before = self._tally.share
        until = min(max(share * piece.pieces - piece.number, before), 1.0)
        for batch in self._windows.batches(windows):
            checkpoint()
            self._look(batch, piece.number)
            left -= int(batch.length.sum())
            done = before + (until - before) * (1 - left / whole)
            tell(rows * min(done, 0.99), f"{number:,} documents")
        self._tally.share = until

    def _look(self, batch: Batch, piece: int) -> None:
        """Count one batch, and keep its best."""
        values = self._watch.values(batch.tokens)  # [B, n, P]
        counted = batch.counted
        self._ends(batch, values, piece)
        rows, places = counted.nonzero(as_tuple=True)
        flat = values[counted]  # [T, P]
        bins = bins_of(flat)
        fires = torch.where(self._signed, flat, flat.abs()) > self._levels
        self._tally.count(batch.tokens[counted], bins, fires)
        luck = batch.luck[counted]
        document = batch.document[rows]
        position = batch.offset[rows] + places

        strata = stratum_of(bins) + self._groups * STRATA  # [T, P]
        token, part = (luck[:, None] >= self._sample.floor[strata]).nonzero(as_tuple=True)
        group = strata[token, part]
        chosen = highest(group, luck[token], len(self._sample.floor), SAMPLED)
        token, part = token[chosen], part[chosen]
        self._sample.add(
            group=group[chosen],
            order=luck[token],
            document=document[token],
            position=position[token],
            piece=torch.full_like(token, piece),
            **self._contexts(batch, values, rows[token], places[token], part),
        )

        wanted = fires & (luck[:, None] >= self._firings.floor)
        token, part = wanted.nonzero(as_tuple=True)
        self._firings.add(
            group=part,
            order=luck[token],
            document=document[token],
            position=position[token],
            piece=torch.full_like(token, piece),
            token=batch.tokens[counted][token],
            following=batch.following[counted][token],
        )

    def _ends(self, batch: Batch, values: Tensor, piece: int) -> None:
        """Keep the largest and smallest value of each window, if they are among the best."""
        for sign, best in ((1.0, self._top), (-1.0, self._bottom)):
            signed = values if sign > 0 else -values
            highest = signed.masked_fill(~batch.counted[..., None], -torch.inf).max(1)
            order = highest.values.double()  # [B, P]
            row, part = ((order >= best.floor) & order.isfinite()).nonzero(as_tuple=True)
            place = highest.indices[row, part]
            best.add(
                group=part,
                order=order[row, part],
                document=batch.document[row],
                position=batch.offset[row] + place,
                piece=torch.full_like(row, piece),
                **self._contexts(batch, values, row, place, part),
            )

    def _contexts(
        self, batch: Batch, values: Tensor, row: Tensor, place: Tensor, part: Tensor
    ) -> dict[str, Tensor]:
        """Tokens [c, w] around some places, −1 where there is none, and the values there."""
        span = torch.arange(-BEFORE, BEHIND + 1, device=row.device)
        places = place[:, None] + span
        there = (places >= batch.special) & (places < batch.length[row, None])
        places = places.clamp(0, batch.tokens.shape[1] - 1)
        tokens = batch.tokens[row[:, None], places].masked_fill(~there, -1)
        return {
            "tokens": tokens.int(),
            "values": values[row[:, None], places, part[:, None]],
            "value": values[row, place, part].double(),
        }

    def _rows(self, key: str, piece: _Piece, place: int, number: int) -> pl.DataFrame:
        """A row for each part: what of this piece is among the best, and what was counted."""
        kinds = (
            ("top", self._top, 1),
            ("bottom", self._bottom, 1),
            ("sample", self._sample, STRATA),
        )
        found = [_found(kind, best.settle(), per, piece.number) for kind, best, per in kinds]
        tally = self._tally
        rows = pl.DataFrame(
            {
                "part": np.arange(len(self._parts)),
                "name": [str(each) for each in self._parts],
                "fired": tally.fired.cpu().numpy(),
            }
        )
        for lists in (
            pl.concat(found),
            _found_firings(self._firings.settle(), piece.number),
            tally.bins(),
        ):
            grouped = lists.group_by("part", maintain_order=True).agg(pl.all())
            rows = rows.join(grouped, on="part", how="left", maintain_order="left")
        words = pl.DataFrame({"part": [0], **tally.words(self._model, self._told)})
        return rows.join(words, on="part", how="left", maintain_order="left").select(
            pl.exclude("part"),
            row=pl.lit(key),
            kind=pl.lit(READ),
            count=tally.tokens,
            value=pl.col("found_value").list.max(),
            start=piece.start,
            end=place,
            documents=number,
        )

    def recall(self, rows: pl.DataFrame) -> None:
        """Take up what an earlier run left."""
        place = {str(each): number for number, each in enumerate(self._parts)}
        for key, start, end, documents in (
            rows.select("row", "start", "end", "documents").unique().iter_rows()
        ):
            self.known[key] = (start, end, documents)
        rows = rows.with_columns(
            part=pl.col("name").replace_strict(place, return_dtype=pl.Int64),
            piece=pl.col("row").str.extract(r"(\d+)").cast(pl.Int64) - 1,
        )
        words = rows.select("word_ids", "words").explode("word_ids", "words").drop_nulls()
        self._told |= set(words["word_ids"])
        for kind, best in (("top", self._top), ("bottom", self._bottom), ("sample", self._sample)):
            _recall_contexts(rows, kind, best, self._model.device)
        found = rows.select("part", "piece", pl.col(_FIRINGS)).explode(_FIRINGS).drop_nulls()
        if found.height:
            document, position = (found[name].to_numpy() for name in _FIRINGS[:2])
            named = {"group": "part", "piece": "piece"}
            named |= {name: f"firing_{name}" for name in _FIRING}
            self._firings.add(
                order=_tensor(pl.Series(draws(document, position, self._seed)), self._model.device),
                **{ours: _tensor(found[name], self._model.device) for ours, name in named.items()},
            )
            self._firings.settle()


_CONTEXT = ("kind", "order", "value", "document", "position", "stratum", "at", "tokens", "values")
_PLAIN = ("order", "value", "document", "position")
_FOUND = [f"found_{each}" for each in _CONTEXT]
_FIRING = ("document", "position", "token", "following")
_FIRINGS = [f"firing_{each}" for each in _FIRING]


def bins_of(values: Tensor) -> Tensor:
    """The bin of each value: 32 to an octave, from 2^-16 to 2^16 on either side of 0, as int64."""
    bits = values.contiguous().view(torch.int32)
    size = ((bits & 0x7FFFFFFF) >> (23 - BIN_BITS)) - ((127 - EXPONENTS) << BIN_BITS) + 1
    size = size.clamp(0, BINS // 2)
    return torch.where(bits < 0, -size, size).long() + BINS // 2


class _Tally:
    """What is counted of one piece."""

    def __init__(self, parts: int, model: Model) -> None:
        device = model.device
        self.share = 0.0
        """How much of the piece is done."""
        self.tokens = 0
        self.fired = torch.zeros(parts, dtype=torch.int64, device=device)
        self._bins = torch.zeros(parts * BINS, dtype=torch.int64, device=device)
        self._first = torch.arange(parts, device=device) * BINS
        self._words = torch.zeros(model.info.vocabulary, dtype=torch.int64, device=device)

    def count(self, tokens: Tensor, bins: Tensor, fires: Tensor) -> None:
        """Count tokens [T], bins of their values [T, P], and where parts fire [T, P]."""
        self.tokens += len(tokens)
        self.fired += fires.sum(0)
        every = (bins + self._first).flatten()
        self._bins += torch.bincount(every, minlength=len(self._bins))
        self._words += torch.bincount(tokens, minlength=len(self._words))

    def bins(self) -> pl.DataFrame:
        """Of each part its bins that are not empty."""
        counts = self._bins.reshape(-1, BINS).cpu().numpy()
        part, bins = counts.nonzero()
        return pl.DataFrame({"part": part, "bins": bins, "bin_counts": counts[part, bins]})

    def words(self, model: Model, told: set[int]) -> dict[str, list[Any]]:
        """The distinct tokens, and how often each came; texts of those that are not told yet."""
        there = self._words.nonzero()[:, 0].tolist()
        counts = self._words[there].tolist()
        texts = [None if each in told else model.token(each) for each in there]
        told |= set(there)
        return {"word_ids": [there], "words": [texts], "word_counts": [counts]}


def _recall_contexts(rows: pl.DataFrame, kind: str, best: Best, device: torch.device) -> None:
    found = rows.select("part", "piece", pl.col(_FOUND)).explode(_FOUND)
    found = found.filter(pl.col("found_kind") == kind)
    if not found.height:
        return
    tokens = np.full((found.height, WIDTH), -1, dtype=np.int32)
    values = np.zeros((found.height, WIDTH), dtype=np.float32)
    columns = ("found_at", "found_tokens", "found_values")
    for line, (at, ids, each) in enumerate(found.select(columns).iter_rows()):
        here = slice(BEFORE - at, BEFORE - at + len(ids))
        tokens[line, here], values[line, here] = ids, each
    group = found["part"] * (STRATA if kind == "sample" else 1) + found["found_stratum"]
    best.add(
        group=_tensor(group.cast(pl.Int64), device),
        order=_tensor(found["found_order"], device),
        document=_tensor(found["found_document"], device),
        position=_tensor(found["found_position"].cast(pl.Int64), device),
        piece=_tensor(found["piece"], device),
        tokens=torch.from_numpy(tokens).to(device),
        values=torch.from_numpy(values).to(device),
        value=_tensor(found["found_value"], device),
    )
    best.settle()


def _tensor(values: pl.Series, device: torch.device) -> Tensor:
    return torch.from_numpy(values.to_numpy().copy()).to(device)


def _found(kind: str, entries: dict[str, Tensor], per: int, piece: int) -> pl.DataFrame:
    """The contexts of one kind that a piece has brought, each with the part it is of.

    Args:
        kind: of all of them.
        entries: what is kept.
        per: groups of a part.
        piece: which piece.
    """
    arrays = _of_piece(entries, piece)
    tokens = arrays.get("tokens", np.zeros((0, WIDTH), dtype=np.int32))
    there = tokens >= 0
    bounds = {"from": there.argmax(1), "long": there.sum(1)}
    group = arrays.get("group", np.zeros(0, dtype=np.int64))
    frame = pl.DataFrame(
        {
            "part": group // per,
            **{f"found_{name}": arrays.get(name, []) for name in _PLAIN},
            "found_stratum": group % per,
            "found_at": BEFORE - bounds["from"],
            "found_tokens": tokens,
            "found_values": arrays.get("values", np.zeros((0, WIDTH), dtype=np.float32)),
            **bounds,
        },
        schema_overrides={
            "found_tokens": pl.Array(pl.Int32, WIDTH),
            "found_values": pl.Array(pl.Float32, WIDTH),
        },
    )
    whole = (pl.col(name).arr.to_list() for name in ("found_tokens", "found_values"))
    return frame.select(
        pl.exclude("found_tokens", "found_values", "from", "long"),
        *(each.list.slice(pl.col("from"), pl.col("long")) for each in whole),
        found_kind=pl.lit(kind),
    )


def _found_firings(entries: dict[str, Tensor], piece: int) -> pl.DataFrame:
    """The firings that a piece has brought."""
    arrays = _of_piece(entries, piece)
    return pl.DataFrame(
        {
            "part": arrays.get("group", np.zeros(0, dtype=np.int64)),
            **{f"firing_{name}": arrays.get(name, []) for name in _FIRING},
        }
    ).sort("part", "firing_document", "firing_position")  # takes less room on disk


def _of_piece(entries: dict[str, Tensor], piece: int) -> dict[str, np.ndarray]:
    if not entries:
        return {}
    mine = entries["piece"] == piece
    return {name: each[mine].cpu().numpy() for name, each in entries.items()}
