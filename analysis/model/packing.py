"""Many prompts as one sequence: a prefix tree with positions by depth and an ancestor mask.

Prompts that begin alike share those tokens, so each distinct prefix is computed once. A node sees
its ancestors and itself only, which is what it would see alone, so nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from analysis.model.tokens import Encoded

PACK_NODES = {"cpu": 256, "cuda": 1_024}
"""Largest sequence to share, by device. Attention costs grow with its square: 128 prompts of 32
forms, which share little, are swept 1.9 times as fast in packs of 256 as of 1,024 on two cores."""


@dataclass(frozen=True)
class Pack:
    """Several prompts with their answers in one sequence of n nodes."""

    tokens: Tensor
    """[n] token ids."""
    depth: Tensor
    """[n] position of each node in its own prompt."""
    sees: Tensor
    """[n, n] bool, whether the row's node may attend to the column's."""
    prompts: tuple[int, ...]
    """Which prompts of the set these are."""
    scored: Tensor
    """[s] nodes whose prediction is scored, prompt after prompt, answer token after token."""
    targets: Tensor
    """[s, a] the answer token expected there, or several of which any will do; −1 is none."""
    lengths: tuple[int, ...]
    """How many answer tokens each prompt has; they sum to s."""
    wrong: Tensor | None = None
    """[P, w] first tokens of each prompt's wrong answers; −1 is none. None: no prompt has any."""

    @cached_property
    def first_scored(self) -> Tensor:
        """[P] which of the scored predictions is that of each answer's first token."""
        ends = torch.tensor(self.lengths, device=self.scored.device).cumsum(0)
        return ends - torch.tensor(self.lengths, device=self.scored.device)

    @property
    def is_chain(self) -> bool:
        """Whether this is one ordinary sequence, where each node sees all before it."""
        return bool((self.depth == torch.arange(len(self.depth), device=self.depth.device)).all())

    def mask(self, dtype: torch.dtype, window: int | None = None) -> Tensor:
        """Additive attention mask [1, 1, n, n].

        Args:
            dtype: the model's dtype.
            window: where the layer attends to the last `window` positions only.
        """
        sees = self.sees
        if window is not None:
            sees = sees & (self.depth[:, None] - self.depth[None, :] < window)
        mask = torch.zeros(sees.shape, dtype=dtype, device=sees.device)
        return mask.masked_fill_(~sees, torch.finfo(dtype).min)[None, None]


def pack(
    encoded: Sequence[Encoded],
    limit: int,
    device: torch.device,
    behind: int = 0,
    alike: Callable[[int], Any] = lambda length: None,
) -> Iterator[Pack]:
    """Arrange prompts in packs of at most `limit` nodes each (at least one prompt).

    Prompts keep their order; every prompt must know its answer tokens.

    Args:
        encoded: the prompts.
        limit: most nodes of a pack.
        device: where its tensors go.
        behind: 1: the last answer token is read too, though nothing is predicted from it.
        alike: of two lengths, equal where sequences that long may share a pack.
    """
    tree, kind = _Tree(), None
    for number, prompt in enumerate(encoded):
        path = prompt.read(behind)
        full = len(tree.tokens) + tree.new_nodes(path) > limit
        if tree.prompts and (full or alike(len(path)) != kind):
            yield tree.finish(device)
            tree = _Tree()
        kind = alike(len(path))
        tree.add(number, path, prompt, behind)
    if tree.prompts:
        yield tree.finish(device)


def wanted(prompt: Encoded) -> list[tuple[int, ...]]:
    """For each token of an answer what counts as right there."""
    return [prompt.first, *((token,) for token in prompt.answer_ids[1:])]


def side_by_side(tokens: Sequence[Sequence[int]]) -> Tensor:
    """[n, a] tokens any of which will do, one row each, filled up with −1."""
    most = max(1, *map(len, tokens))
    return torch.tensor([[*each, *[-1] * (most - len(each))] for each in tokens])


class _Tree:
    """A prefix tree under construction."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.children: dict[tuple[int, int], int] = {}
        self.prompts: list[int] = []
        self.scored: list[int] = []
        self.targets: list[tuple[int, ...]] = []
        self.lengths: list[int] = []
        self.wrong: list[tuple[int, ...]] = []

    def new_nodes(self, path: Sequence[int]) -> int:
        node = -1
        for place, token in enumerate(path):
            found = self.children.get((node, token))
            if found is None:
                return len(path) - place
            node = found
        return 0

    def add(self, number: int, path: Sequence[int], prompt: Encoded, behind: int) -> None:
        nodes = []
        node = -1
        for token in path:
            key = (node, token)
            if key not in self.children:
                self.children[key] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
            node = self.children[key]
            nodes.append(node)
        self.prompts.append(number)
        targets = wanted(prompt)
        end = len(path) - behind
        self.scored.extend(nodes[end - len(targets) : end])
        self.targets.extend(targets)
        self.lengths.append(len(targets))
        self.wrong.append(prompt.wrong)

    def finish(self, device: torch.device) -> Pack:
        count = len(self.tokens)
        sees = torch.eye(count, dtype=torch.bool)
        depth = torch.zeros(count, dtype=torch.long)
        for node, parent in enumerate(self.parents):
            if parent >= 0:  # parents come before their children
                sees[node] |= sees[parent]
                depth[node] = depth[parent] + 1
        return Pack(
            tokens=torch.tensor(self.tokens, device=device),
            depth=depth.to(device),
            sees=sees.to(device),
            prompts=tuple(self.prompts),
            scored=torch.tensor(self.scored, device=device),
            targets=side_by_side(self.targets).to(device),
            lengths=tuple(self.lengths),
            wrong=side_by_side(self.wrong).to(device) if any(self.wrong) else None,
        )
