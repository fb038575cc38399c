"""One map of heads, or two with one cursor and one scale: side by side where there is room."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import ClassVar, Literal, TypeAlias

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Static

from analysis.refs import HeadRef
from screens.text import cell_fit
from screens.widgets import WidgetMessage
from screens.widgets.cell_grid import CellLayout
from screens.widgets.cell_map import HeadMap


@dataclass(frozen=True)
class HeadPicture:
    """A change for each head, known exactly or estimated."""

    values: dict[HeadRef, float] = field(default_factory=dict)
    exact: AbstractSet[HeadRef] = frozenset()
    """The heads whose values are no estimates."""
    by_size: bool = False
    """The largest come first, whatever their sign; else those that harm most."""

    @cached_property
    def ranked(self) -> list[tuple[HeadRef, float]]:
        """The heads known exactly, those that matter most first."""
        known = [(head, self.values[head]) for head in self.exact]
        # By name among equals: a set has no order of its own.
        known.sort(key=lambda pair: pair[0])
        return sorted(known, key=lambda pair: -abs(pair[1]) if self.by_size else pair[1])

    def most(self, count: int) -> list[HeadRef]:
        """The heads that matter most."""
        return [head for head, _ in self.ranked[:count]]

    def above(self, other: HeadPicture) -> HeadPicture:
        """This minus another, of the heads that both know; exact where both are."""
        shared = self.values.keys() & other.values.keys()
        values = {head: self.values[head] - other.values[head] for head in shared}
        return HeadPicture(values, self.exact & other.exact, by_size=True)


def scale_of(*pictures: HeadPicture) -> tuple[float, float]:
    """The lowest and the highest finite value of all of them."""
    values = [value for each in pictures for value in each.values.values() if isfinite(value)]
    return (min(values), max(values)) if values else (0.0, 0.0)


Face: TypeAlias = Literal["a", "b", "difference"]
FACES: tuple[Face, ...] = ("a", "b", "difference")
Arrangement: TypeAlias = Literal["row", "column", "one"]
GAP = 3
"""Blank columns between maps side by side."""
BETWEEN = "   "
"""Keeps the names of the faces apart."""
CAPTION = 1
"""Lines over a map that say of which run it is."""


def arrangement(
    shape: tuple[int, int], width: int, height: int, allow_halves: bool = True
) -> Arrangement:
    """How two maps lie in a space: side by side or above each other; one if both do not fit.

    They are preferred in cells of two columns, if one alone has them, then as small as it takes.
    """
    alone = CellLayout.fit(*shape, width, height - CAPTION, allow_halves)
    usual = min(alone.fill, 2)
    row = ((width - GAP) // 2, height - CAPTION)
    column = (width, (height - 1) // 2 - CAPTION)

    def fits(space: tuple[int, int], small: bool) -> bool:
        each = CellLayout.fit(*shape, *space, allow_halves)
        inside = each.size.width <= space[0] and each.size.height <= space[1]
        return inside and (small or (each.fill >= usual and each.halves == alone.halves))

    if fits(row, small=False):
        return "row"
    if fits(column, small=False):
        return "column"
    return "row" if fits(row, small=True) else "one"


def tabs_of_two(a: str, b: str, width: int) -> dict[Face, str]:
    """What the faces are called on one line of so many columns: names are cut, no face is."""
    last = "B − A"
    room = max(0, width - cell_len(last) - 2 * (len(BETWEEN) + len("A  ")))
    half = room // 2
    # What one name leaves of its half is the other's.
    of_a = min(cell_len(a), max(half, room - cell_len(b)))
    of_b = min(cell_len(b), room - of_a)
    named = {"a": cell_fit(a, of_a), "b": cell_fit(b, of_b)}
    first, second = (f"{each.upper()}  {name}".rstrip() for each, name in named.items())
    return {"a": first, "b": second, "difference": last}


class HeadPair(Container):
    """The picture of one run, or with a second beside it: both, or what the second has above
    the first. The first map has the keys; the cursor of the other goes with it."""

    DEFAULT_CSS = """
    HeadPair {
        width: 1fr;
        height: 1fr;
        & > Vertical { width: 1fr; height: 1fr; }
        & > #beside { display: none; }
        & .caption { height: 1; display: none; }
        &.-two .caption { display: block; }
        &.-row { layout: horizontal; }
        &.-row > #beside { display: block; margin-left: 3; }
        &.-column > #beside { display: block; margin-top: 1; }
        & .words { display: none; height: 1fr; padding-bottom: 1; }
        &.-apart #beside > HeadMap, &.-apart #beside > .caption { display: none; }
        &.-apart .words { display: block; }
        & > .head-pair--face { color: $text-muted; }
        & > .head-pair--chosen { color: $accent; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"head-pair--face", "head-pair--chosen"}

    class Turned(WidgetMessage["HeadPair"]):
        """The space changed, and with it perhaps which pictures are in sight."""

    def __init__(self) -> None:
        super().__init__()
        self._key: object = None
        self._pictures: dict[Face, HeadPicture] = {"a": HeadPicture()}
        self._face: Face = "a"
        self._names = ("", "")
        self._drawn: dict[HeadMap, tuple[object, HeadPicture]] = {}

    def compose(self) -> ComposeResult:
        """Each map under its caption."""
        with Vertical():
            yield Static(classes="caption", markup=False)
            yield HeadMap()
        with Vertical(id="beside"):
            yield Static(classes="caption", markup=False)
            yield HeadMap()
            yield Static(classes="words", markup=False)

    def on_mount(self) -> None:
        """Only one map takes the keys."""
        self._maps[1].can_focus = False

    @property
    def map(self) -> HeadMap:
        """The map that has the cursor."""
        return self._maps[0]

    @property
    def faces(self) -> tuple[Face, ...]:
        """The pictures in sight."""
        if len(self._pictures) == 1:
            return ("a",)
        apart = self._face != "difference" and self._arrangement != "one"
        return ("a", "b") if apart else (self._face,)

    @property
    def next_face(self) -> Face:
        """What to look at after this: one run after the other, then their difference."""
        if self._arrangement != "one":
            return "a" if self._face == "difference" else "difference"
        return FACES[(FACES.index(self._face) + 1) % len(FACES)]

    @property
    def picture(self) -> HeadPicture:
        """The one on the map that has the cursor."""
        return self._pictures[self.faces[0]]

    @property
    def scale(self) -> tuple[float, float]:
        """What the colours mean at their ends: the same for both runs, whichever is in sight."""
        if "difference" in self.faces:
            return scale_of(self.picture)
        return scale_of(*(self._pictures[face] for face in ("a", "b") if face in self._pictures))

    def shape(self, layers: int, heads: int) -> None:
        """Take a shape; where it is another one, what was shown is forgotten."""
        if self.map.shape != (layers, heads):
            self._drawn.clear()
            for each in self._maps:
                each.clear(layers, heads)

    def show(self, key: object, first: HeadPicture) -> None:
        """Show one run alone, painting only what changed.

        Args:
            key: tells pictures of different things apart; of the same, only what is newly known
                is painted.
            first: the run.
        """
        self._key, self._pictures, self._face = key, {"a": first}, "a"
        self._arrange()

    def show_two(
        self,
        key: object,
        first: HeadPicture,
        second: HeadPicture,
        face: Face,
        names: tuple[str, str],
        words: Text,
    ) -> None:
        """Show two runs.

        Args:
            key: as for one.
            first: the run in sight.
            second: the run beside it.
            face: which of the two where only one fits, or their difference.
            names: what the captions call them.
            words: what stands beside the difference where there is room for a second map.
        """
        self.query_one(".words", Static).update(words)
        self._key, self._face, self._names = key, face, names
        self._pictures = {"a": first, "b": second, "difference": second.above(first)}
        self._arrange()

    def set_marked(self, heads: Collection[HeadRef], most: int) -> None:
        """Mark these heads, or if there are none on each map the ones that matter most there."""
        for map, face in zip(self._maps, self.faces, strict=False):
            map.set_marked(heads or self._pictures[face].most(most))

    @property
    def _maps(self) -> tuple[HeadMap, HeadMap]:
        first, second = self.query(HeadMap)
        return first, second

    @property
    def _arrangement(self) -> Arrangement:
        # Of one map alone the size is not known before it is laid out.
        if not all(self.size) or not all(self.map.shape):
            return "one"
        return arrangement(self.map.shape, *self.size, allow_halves=not self.map.glyphs)

    def _arrange(self) -> None:
        faces, lies = self.faces, self._arrangement
        two = len(self._pictures) > 1
        self.set_class(two, "-two")
        self.set_class(two and lies == "row", "-row")
        self.set_class(two and lies == "column", "-column")
        self.set_class(two and faces == ("difference",), "-apart")
        captions = self.query(".caption").results(Static)
        for map, caption, face in zip(self._maps, captions, faces, strict=False):
            self._paint(map, face)
            caption.update(self._caption(face))

    def _paint(self, map: HeadMap, face: Face) -> None:
        key, picture = (self._key, face), self._pictures[face]
        drawn, before = self._drawn.get(map, (None, HeadPicture()))
        self._drawn[map] = key, picture
        map.set_scale(*self.scale)
        if drawn != key:
            map.set_values(picture.values, exact=picture.exact)
        elif fresh := (picture.exact - before.exact) | (
            picture.values.keys() - before.values.keys()
        ):
            values = {head: picture.values[head] for head in fresh}
            map.update_cells(values, exact=picture.exact)

    def _caption(self, face: Face) -> Text:
        """Of which run a map is; where only one is in sight, among what else there is to see."""
        a, b = self._names
        if len(self.faces) == 2:
            return Text(f"{face.upper()}  {a if face == 'a' else b}", style="bold")
        lies, width = self._arrangement, self.size.width
        words = tabs_of_two(a, b, (width - GAP) // 2 if lies == "row" else width)
        plain, chosen = self._ink("head-pair--face"), self._ink("head-pair--chosen")
        line = Text()
        for each, what in words.items():
            line.append(what, style=chosen if each == face else plain).append(BETWEEN)
        line.rstrip()
        return line

    def _ink(self, name: str) -> Style:
        """A component's foreground; the caption brings its own background."""
        style = self.get_component_rich_style(name)
        return Style(color=style.color, bold=style.bold)

    def on_resize(self) -> None:
        """Tell the screen, which shows the pictures again as they then fit."""
        if len(self._pictures) > 1:
            self.post_message(self.Turned(self))

    @on(HeadMap.CellHighlighted)
    def _link(self, event: HeadMap.CellHighlighted) -> None:
        """Let the cursor of the other map go along."""
        first, second = self._maps
        sender = event.control
        # The other says nothing of it: by then the first may have gone on.
        with self.prevent(HeadMap.CellHighlighted):
            (second if sender is first else first).move_to(sender.cursor)
