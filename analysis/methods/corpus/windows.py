"""Documents as windows of tokens in batches: what a model reads in one pass over a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from analysis.methods.corpus.rows import draws
from analysis.model.rope import frequencies_of
from analysis.model.tokens import check_known
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model

OVERLAP = 64
"""Tokens that a window has seen of the one before it; a quarter of a window at most."""


@dataclass(frozen=True)
class Window:
    """A stretch of a document that is read at once."""

    ids: np.ndarray
    """What the tokenizer puts before a text, then the document's tokens."""
    document: int
    before: int
    """The document's tokens before this stretch."""
    skip: int
    """Tokens at its beginning that are read and not counted: special ones, and the overlap."""
    following: int
    """The token behind it in its document; −1: none."""


@dataclass(frozen=True)
class Batch:
    """Windows side by side, filled up behind their ends: no token sees what stands behind it, so
    those that count are as in a run of their own, with no mask. B rows, n tokens."""

    tokens: Tensor
    """[B, n] ids."""
    following: Tensor
    """[B, n] the next token's id; −1: none."""
    counted: Tensor
    """[B, n] bool, whether a token counts here: each does in one window."""
    length: Tensor
    """[B] tokens of each window."""
    document: Tensor
    """[B] which document each is of."""
    offset: Tensor
    """[B] what to add to a place in the window to have the place in the document."""
    special: int
    """Tokens before the text in each."""
    luck: Tensor
    """[B, n] float64 numbers drawn by document and place, whatever the order of reading."""

    @property
    def size(self) -> int:
        """Tokens that count."""
        return int(self.counted.sum())


class Windows:
    """Cuts documents into windows, and puts windows of like length into batches."""

    def __init__(self, model: Model, longest: int, batch: int, seed: int) -> None:
        """Look at how the model reads a text.

        Args:
            model: whose tokens.
            longest: tokens of a window, or the model's context if that is less.
            batch: tokens of a batch at most, those that fill it up included.
            seed: of `luck`.
        """
        self._model = model
        any_text = model.encode(Prompt(prompt="a"))
        self._special = np.array(any_text.ids[: len(any_text.special)], dtype=np.int64)
        self.longest = min(longest, model.info.context)
        self._room = max(self.longest - len(self._special), 1)
        self.overlap = min(OVERLAP, self._room // 4)
        self._batch = batch
        self._seed = seed
        config = model.config
        # Rotary frequencies that follow the length: only windows of the same ones go together.
        self._alike: Callable[[int], Any] = (
            (lambda length: frequencies_of(config, length)) if model.behind else (lambda length: 0)
        )

    def of(self, texts: Sequence[str], first: int) -> list[Window]:
        """The windows of documents, which are numbered from `first` on."""
        if not texts:  # tokenizers stumble over that
            return []
        tokenizer = self._model.tokenizer
        found = tokenizer(list(texts), add_special_tokens=False, verbose=False).input_ids
        windows: list[Window] = []
        for document, each in enumerate(found, start=first):
            ids = np.asarray(each, dtype=np.int64)
            if len(ids) and ids.max() >= self._model.info.vocabulary:
                check_known(tokenizer, each, self._model.info.vocabulary)
            windows += self._cut(ids, document)
        return windows

    def _cut(self, ids: np.ndarray, document: int) -> Iterator[Window]:
        start = 0
        while start < len(ids):
            before = max(start - self.overlap, 0) if start else 0
            end = min(before + self._room, len(ids))
            yield Window(
                np.concatenate([self._special, ids[before:end]]),
                document,
                before,
                len(self._special) + start - before,
                int(ids[end]) if end < len(ids) else -1,
            )
            start = end

    def batches(self, windows: Sequence[Window]) -> Iterator[Batch]:
        """Windows in batches, the longest first."""
        waiting: list[Window] = []
        for each in sorted(windows, key=lambda each: -len(each.ids)):
            longest = len(waiting[0].ids) if waiting else 0
            full = longest * (len(waiting) + 1) > self._batch
            if waiting and (full or self._alike(len(each.ids)) != self._alike(longest)):
                yield self._together(waiting)
                waiting = []
            waiting.append(each)
        if waiting:
            yield self._together(waiting)

    def _together(self, windows: list[Window]) -> Batch:
        rows, width = len(windows), len(windows[0].ids)
        tokens = np.zeros((rows, width), dtype=np.int64)
        following = np.full((rows, width), -1, dtype=np.int64)
        counted = np.zeros((rows, width), dtype=bool)
        for row, each in enumerate(windows):
            length = len(each.ids)
            tokens[row, :length] = each.ids
            following[row, : length - 1] = each.ids[1:]
            following[row, length - 1] = each.following
            counted[row, each.skip : length] = True
        document = np.array([each.document for each in windows], dtype=np.int64)
        offset = np.array([each.before - len(self._special) for each in windows], dtype=np.int64)
        places = offset[:, None] + np.arange(width)
        luck = draws(document[:, None], places, self._seed)
        device = self._model.device

        def put(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device, non_blocking=True)

        lengths = np.array([len(each.ids) for each in windows], dtype=np.int64)
        return Batch(
            tokens=put(tokens),
            following=put(following),
            counted=put(counted),
            length=put(lengths),
            document=put(document),
            offset=put(offset),
            special=len(self._special),
            luck=put(luck),
        )
