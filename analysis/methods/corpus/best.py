"""The best few entries of each of many groups, of a stream too long to be kept."""

from __future__ import annotations

import torch
from torch import Tensor

ROOM = 2**16
"""Entries that may wait, beyond those that are kept, before they are sorted."""


class Best:
    """Keeps, of the entries of each group, those of highest order, with what belongs to them.

    Equal orders go by document, then by position, so that what is kept depends on the entries
    alone and not on when they come.
    """

    def __init__(self, groups: int, keep: int, device: torch.device, single: bool = False) -> None:
        """Begin with none.

        Args:
            groups: how many groups there are.
            keep: how many entries of each are kept.
            device: where they are kept.
            single: of a group and a document only the best entry counts.
        """
        self.keep = keep
        self._single = single
        self._room = 2 * groups * keep + ROOM
        self._waiting: list[dict[str, Tensor]] = []
        self._count = 0
        self.entries: dict[str, Tensor] = {}
        """What is kept, group by group, best first: `group`, `order`, `document`, `position` and
        what else was given with them. Whole after `settle`."""
        self.floor = torch.full((groups,), -torch.inf, dtype=torch.float64, device=device)
        """[groups] what an entry must come up to; it rises when entries are sorted."""

    def add(self, **entries: Tensor) -> None:
        """Take entries [c]: `group`, `order` (float64), `document`, `position`, and what else
        belongs to them, of the same names each time."""
        self._waiting.append(entries)
        self._count += len(entries["group"])
        if self._count > self._room:
            self.settle()

    def settle(self) -> dict[str, Tensor]:
        """Drop what is not among the best."""
        if self._waiting:
            parts = [self.entries, *self._waiting] if self.entries else self._waiting
            together = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
            chosen = best_of(together, self.keep, self._single)
            self.entries = {name: values[chosen] for name, values in together.items()}
            self._waiting, self._count = [], len(chosen)
            self._raise_floor()
        return self.entries

    def _raise_floor(self) -> None:
        group = self.entries["group"]
        last = _places(group) == self.keep - 1
        self.floor[group[last]] = self.entries["order"][last]


def best_of(entries: dict[str, Tensor], keep: int, single: bool = False) -> Tensor:
    """Which of some entries are the best of their groups: indices, group by group, best first."""
    index = torch.arange(len(entries["group"]), device=entries["group"].device)
    for name, descending in (
        ("position", False),
        ("document", False),
        ("order", True),
        ("group", False),
    ):
        sorting = entries[name][index].argsort(stable=True, descending=descending)
        index = index[sorting]
    if single:
        index = index[_first_of_documents(entries["group"][index], entries["document"][index])]
    return index[_places(entries["group"][index]) < keep]


def highest(group: Tensor, order: Tensor, groups: int, keep: int) -> Tensor:
    """Which entries are the best of their groups, quickly, where no two orders are equal.

    Args:
        group: [c] of each entry.
        order: [c] float64.
        groups: how many groups there are.
        keep: how many of each are wanted.

    Returns:
        Their indices, in no order.
    """
    found, left = [], order.clone()
    for _ in range(keep):
        top = left.new_full((groups,), -torch.inf).scatter_reduce(0, group, left, "amax")
        chosen = ((left == top[group]) & left.isfinite()).nonzero()[:, 0]
        found.append(chosen)
        left[chosen] = -torch.inf
    return torch.cat(found)


def _first_of_documents(group: Tensor, document: Tensor) -> Tensor:
    """[c] whether an entry, best first in its group, is the first of its document there."""
    order = document.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]
    group, document = group[order], document[order]
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = (group[1:] != group[:-1]) | (document[1:] != document[:-1])
    found = torch.zeros_like(first)
    found[order] = first
    return found


def _places(group: Tensor) -> Tensor:
    """[c] the place of each entry in its group, from 0; entries come group by group."""
    return torch.arange(len(group), device=group.device) - torch.searchsorted(group, group)
