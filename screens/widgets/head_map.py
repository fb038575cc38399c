"""The head map: one coloured cell for each attention head, layers to the right, heads down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.geometry import Offset, Region, Size
from textual.strip import Strip

from analysis.refs import HeadRef
from screens.ramps import Ramp, amount_ramp, change_ramp, needs_glyphs
from screens.widgets.cell_paint import CellPaint
from screens.widgets.component_ink import ink, solid
from screens.widgets.head_cursor import HeadCursor
from screens.widgets.head_grid import Exact, HeadGrid, Values
from screens.widgets.head_layout import HEADER, HeadLayout
from screens.widgets.head_lines import HeadLines
from screens.widgets.told import Told


class HeadMap(HeadCursor):
    """Values of all heads as a picture with a cursor.

    Cells whose value is missing show a faint dot; estimates look thinner than exact values. The
    scale follows the values unless `set_scale` fixes it. Where a line is left, bars below the heads
    show the strongest value of each layer.

    Args:
        layers: number of layers.
        heads: number of heads in each.
        centred: values are changes around zero (harm to help) rather than amounts.
        glyphs: draw glyphs instead of colours; None asks the terminal.
    """

    DEFAULT_CSS = """
    HeadMap {
        width: 1fr;
        height: 1fr;
        scrollbar-size: 0 0;
        background: transparent;
        & > .head-map--label { color: $text-muted; }
        & > .head-map--label-cursor { color: $accent; text-style: bold; }
        & > .head-map--pending { color: $foreground 25%; }
        & > .head-map--cursor { color: $foreground; text-style: bold; }
        & > .head-map--mark { color: $foreground; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "head-map--label",
        "head-map--label-cursor",
        "head-map--pending",
        "head-map--cursor",
        "head-map--mark",
    }

    class CellHighlighted(Told["HeadMap"]):
        """The cursor reached a head, or the mouse is over one (`hover`).

        The first head is highlighted when the map appears, and the cursor's again when the mouse
        leaves.
        """

        def __init__(self, head_map: HeadMap, head: HeadRef, hover: bool = False) -> None:
            super().__init__(head_map)
            self.head = head
            self.hover = hover

    class CellSelected(Told["HeadMap"]):
        """A head was chosen by enter or a double click."""

        def __init__(self, head_map: HeadMap, head: HeadRef) -> None:
            super().__init__(head_map)
            self.head = head

    class ScaleChanged(Told["HeadMap"]):
        """The range of the values, and with it the meaning of the colours, changed."""

        def __init__(self, head_map: HeadMap, low: float, high: float) -> None:
            super().__init__(head_map)
            self.low = low
            self.high = high

    def __init__(
        self,
        layers: int = 0,
        heads: int = 0,
        *,
        centred: bool = True,
        glyphs: bool | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._grid = HeadGrid(layers, heads, centred)
        self._glyphs = glyphs
        self._hovered: HeadRef | None = None
        self._paint: CellPaint | None = None
        self._layout = HeadLayout.fit(layers, heads, 0, 0)

    def clear(self, layers: int, heads: int) -> None:
        """Forget all values and take another shape; the cursor stays if it still fits."""
        fixed = self._grid.fixed
        self._grid = HeadGrid(layers, heads, self._grid.centred)
        self._grid.fixed = fixed
        self._hovered = None
        self._fit()
        self._rescale()
        self.cursor = self.validate_cursor(self.cursor)

    def set_values(self, values: Values, exact: Exact = True, *, centred: bool = True) -> None:
        """Show these values in place of all others.

        Args:
            values: a number for each head, or rows [layer][head]; None and NaN are pending.
            exact: whether the values are exact or estimates, or the heads whose values are.
            centred: values are changes around zero rather than amounts.
        """
        self._grid.empty()
        self._grid.centred, self._paint = centred, None
        self._grid.store(values, exact)
        self._rescale()
        self.refresh()

    def update_cells(self, values: Values, exact: Exact = True) -> None:
        """Show these values and leave the other cells as they are.

        Only the cells given are painted again, unless they change the scale.
        """
        touched = self._grid.store(values, exact)
        if not self._rescale():
            for head in touched:
                self._refresh_cell(head)
            self._refresh_line(self._layout.bars(self.size.height))

    def set_scale(self, low: float | None = None, high: float | None = None) -> None:
        """Fix the values that the ends of the ramp mean; without them the scale is automatic."""
        self._grid.fixed = None if low is None or high is None else (low, high)
        self._rescale()

    def set_marked(self, heads: Iterable[HeadRef]) -> None:
        """Mark these heads with a dot, and no others."""
        marked = frozenset(heads)
        for head in marked ^ self._grid.marked:
            self._refresh_cell(head)
        self._grid.marked = marked

    def move_to(self, head: HeadRef) -> None:
        """Put the cursor on a head and bring it into view."""
        self.cursor = head

    def value(self, head: HeadRef) -> float | None:
        """The value shown for a head; None while it is pending."""
        return self._grid.value(head)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and heads."""
        return self._grid.layers, self._grid.heads

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest value: those fixed, else those seen."""
        return self._grid.scale

    @property
    def ramp(self) -> Ramp:
        """The ramp in use, which follows the theme."""
        dark = self.app.current_theme.dark
        return change_ramp(dark) if self._grid.centred else amount_ramp(dark)

    @property
    def geometry(self) -> HeadLayout:
        """How the map is laid out in the space it has."""
        return self._layout

    @property
    def glyphs(self) -> bool:
        """Whether glyphs stand for colours."""
        return needs_glyphs(self.app) if self._glyphs is None else self._glyphs

    def _rescale(self) -> bool:
        """Follow the values with the scale; whether that changed what the colours mean."""
        if not self._grid.rescale():
            return False
        self.refresh()
        self.post_message(self.ScaleChanged(self, *self.scale))
        return True

    def on_resize(self) -> None:
        """Choose the layout for the new size."""
        self._fit()

    def notify_style_update(self) -> None:
        """Make the paint anew when theme or styles change."""
        super().notify_style_update()
        self._paint = None

    def _fit(self) -> None:
        if not self.is_attached:
            return  # the first resize will do it
        # Scroll bars are hidden, so the choice of layout cannot change the space it is made for.
        width, height = self.size
        self._layout = HeadLayout.fit(*self.shape, width, height, allow_halves=not self.glyphs)
        self.virtual_size = self._layout.size
        self.refresh()
        self.call_after_refresh(self._show_cursor)

    def _painted(self) -> CellPaint:
        if self._paint is None:
            _, background = self.background_colors
            self._paint = CellPaint(
                self.ramp,
                background,
                cursor=solid(self, "head-map--cursor"),
                mark=solid(self, "head-map--mark"),
                pending=ink(self, "head-map--pending"),
                glyphs=self.glyphs,
            )
        return self._paint

    def render_line(self, y: int) -> Strip:
        """One line of the map: layer numbers, a row of heads, or the layer bars."""
        layout, paint, (width, height) = self._layout, self._painted(), self.size
        left, top = self.scroll_offset
        row, bars = y - HEADER + top, y == layout.bars(height)
        if not all(self.shape) or (row >= layout.rows and not bars):
            return Strip.blank(width, paint.blank)
        lines = HeadLines(
            self._grid,
            layout,
            paint,
            self.cursor,
            paint.blank + ink(self, "head-map--label"),
            paint.blank + ink(self, "head-map--label-cursor"),
        )
        if y < HEADER:
            gutter, body = lines.header(self._more())
        else:
            gutter, body = lines.bars() if bars else lines.row(row)
        # Labels stay while the cells scroll under them.
        cells = Strip(body).crop(left, left + width - layout.gutter)
        line = Strip.join([Strip(gutter, layout.gutter), cells])
        return line.adjust_cell_length(width, paint.blank)

    def _more(self) -> str:
        """Arrows towards the parts of the map that are out of sight."""
        (left, top), (width, height) = self.scroll_offset, self.size
        whole = self._layout.size
        hidden = {
            "◂": left > 0,
            "▸": left + width < whole.width,
            "▴": top > 0,
            "▾": top + height < whole.height,
        }
        return "".join(arrow for arrow, there in hidden.items() if there)

    def _refresh_cell(self, head: HeadRef) -> None:
        if self._grid.holds(head):
            self.refresh(self._layout.region(head.layer, head.index).translate(-self.scroll_offset))

    def _refresh_line(self, y: int | None) -> None:
        if y is not None:
            self.refresh(Region(0, y, self.size.width, 1))

    def watch_cursor(self, before: HeadRef, head: HeadRef) -> None:
        """Repaint the two cells and their labels, keep the cursor in view, tell the screen."""
        for ref in (before, head):
            self._refresh_cell(ref)
            row = HEADER + self._layout.row_of(ref.index) - self.scroll_offset.y
            self.refresh(Region(0, row, self._layout.gutter, 1))
        self._refresh_line(0)
        self._show_cursor()
        if all(self.shape):
            self.post_message(self.CellHighlighted(self, head))

    def _show_cursor(self) -> None:
        layout = self._layout
        region = layout.region(self.cursor.layer, self.cursor.index)
        # Labels and bars cover three sides, so the cells scroll in what they leave.
        view = Size(self.size.width - layout.gutter, self.size.height - HEADER - layout.footer)
        x, y = region.x - layout.gutter, region.y - HEADER
        left, top = self.scroll_offset
        # The layer's number may be wider than its cells.
        wide = max(region.width, len(str(self.cursor.layer)))
        left = min(max(left, x + wide - view.width), max(x, 0))
        top = min(max(top, y + region.height - view.height), y)
        if Offset(left, top) != self.scroll_offset:
            self.scroll_to(left, top, animate=False)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the cell; a second click chooses it."""
        head = self._head_at(event)
        if head is None:
            return
        if event.chain == 2:  # the first click has moved the cursor
            self.action_select()
        elif event.chain == 1:
            self.cursor = head

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Let the screen read out the head under the mouse."""
        head = self._head_at(event)
        if head is not None and head != self._hovered:
            self.post_message(self.CellHighlighted(self, head, hover=True))
        elif head is None:
            self._leave()
        self._hovered = head

    def on_leave(self) -> None:
        """Go back to the head under the cursor."""
        self._leave()
        self._hovered = None

    def _leave(self) -> None:
        if self._hovered is not None:
            self.post_message(self.CellHighlighted(self, self.cursor))

    def _head_at(self, event: events.MouseEvent) -> HeadRef | None:
        place = event.get_content_offset(self)
        if place is None or place.y < HEADER or place.x < self._layout.gutter:
            return None
        if place.y == self._layout.bars(self.size.height):
            return None
        found = self._layout.at(place.x + self.scroll_offset.x, place.y + self.scroll_offset.y)
        if found is None:
            return None
        layer, row = found
        upper, lower = self._layout.heads_of(row)
        # A terminal reports lines, not halves: a click on the line again takes the other half.
        again = isinstance(event, events.Click) and self.cursor == HeadRef(layer, upper)
        return HeadRef(layer, lower if again and lower is not None else upper)

    def action_select(self) -> None:
        """Choose the head under the cursor."""
        if all(self.shape):
            self.post_message(self.CellSelected(self, self.cursor))
