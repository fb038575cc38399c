"""The line of keys: as many as fit whole, and always the one that lists them all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey, FooterLabel

HELP = "question_mark"
"""The key that lists all others."""


def fitting(lengths: Sequence[int], kept: Collection[int], width: int) -> list[int]:
    """The places of those that fit, in their order; the last go first, those kept never.

    Args:
        lengths: cells of each.
        kept: places of those that stay.
        width: cells there are.
    """
    places = list(range(len(lengths)))
    for place in reversed(range(len(lengths))):
        if sum(lengths[each] for each in places) <= width:
            break
        if place not in kept:
            places.remove(place)
    return places


class KeyLine(Footer):
    """The keys of the screen in front; one that does not fit is left out, not cut."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._made_of: list[tuple[Binding, bool]] | None = None
        """The keys it was made of, and whether each can be pressed now."""

    async def recompose(self) -> None:
        """Show other keys; making the same ones anew would cost a layout of the whole screen."""
        keys = [
            (binding, enabled)
            for _, binding, enabled, _ in self.screen.active_bindings.values()
            if binding.show
        ]
        if keys != self._made_of:
            self._made_of = keys
            await super().recompose()
        self.call_after_refresh(self._leave_out)

    def on_resize(self) -> None:
        """Choose anew for another width."""
        for each in self.children:
            each.display = True
        self.call_after_refresh(self._leave_out)

    def _leave_out(self) -> None:
        """Hide the keys that do not fit."""
        keys: list[list[Widget]] = []
        for each in self.children:
            if isinstance(each, FooterLabel) and keys:
                keys[-1].append(each)  # names the keys before it
            else:
                keys.append([each])
        kept = {
            place
            for place, each in enumerate(keys)
            if isinstance(each[0], FooterKey) and each[0].key == HELP
        }
        lengths = [
            sum(part.outer_size.width + part.styles.margin.width for part in each) for each in keys
        ]
        shown = fitting(lengths, kept, self.size.width)
        for place, parts in enumerate(keys):
            for part in parts:
                part.display = place in shown
