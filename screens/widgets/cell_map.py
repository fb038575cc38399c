"""Maps of coloured cells with a cursor: the heads of a model, or its layers along a prompt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Offset, Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from analysis.refs import HeadRef
from screens.colours import Ramp, ink, needs_glyphs, ramp_of, solid
from screens.keys import shipped, unlisted
from screens.text import cell_fit, visible
from screens.widgets import WidgetMessage
from screens.widgets.cell_grid import HEADER, Cell, CellGrid, CellLayout
from screens.widgets.cell_paint import ABSENT, CellPaint

Line = tuple[list[Segment], list[Segment]]
"""What stands in the gutter, and the unscrolled rest of the line."""
BEFORE = 5
"""Columns left of those in sight that are drawn too."""
Ref = TypeVar("Ref")
"""What a cell of a map stands for."""


@dataclass(frozen=True, slots=True)
class CellLines:
    """Draws one map at one moment: labels that stay, and cells that scroll beside them."""

    grid: CellGrid
    layout: CellLayout
    paint: CellPaint
    cursor: Cell
    label: Style
    label_cursor: Style
    columns: range
    """Those in sight, and a few before them whose numbers may reach into it."""

    def header(self, more: str) -> Line:
        """The column numbers, with arrows in the corner where the map goes on out of sight."""
        layout, used = self.layout, self.columns.start * self.layout.pitch
        body: list[Segment] = []
        for column in self.columns:
            text = str(column) if column == self.cursor[0] else layout.tick(column)
            start = column * layout.pitch
            if text is None or start < used or self._crowds_cursor(column, text):
                continue
            style = self.label_cursor if column == self.cursor[0] else self.label
            body += [Segment(" " * (start - used), self.label), Segment(text, style)]
            used = start + len(text)
        end = layout.size.width - layout.gutter
        body.append(Segment(" " * max(0, end - used), self.label))
        return [Segment(more.ljust(layout.gutter), self.label)], body

    def row(self, row: int) -> Line:
        """One line of cells with their name."""
        layout, grid, cursor = self.layout, self.grid, self.cursor
        upper, lower = layout.cells_of(row)
        here = cursor[1] in (upper, lower)
        first = row == layout.row_of(upper)
        name = layout.name(cursor[1]) if here and first else layout.label(row)
        gutter = [
            Segment(cell_fit(name, layout.gutter - 1), self.label_cursor if here else self.label),
            self._gap(row, 0, here),
        ]
        body: list[Segment] = []
        for column in self.columns:
            top = grid.look(column, upper, cursor)
            if layout.halves:
                bottom = ABSENT if lower is None else grid.look(column, lower, cursor)
                body += self.paint.halves(top, bottom, layout.fill, layout.gap)
            else:
                look = top if first else top._replace(marked=False)
                body += self.paint.whole(look, layout.fill, layout.gap)
            if layout.gap:
                body.append(self._gap(row, column + 1, here))
        return gutter, body

    def bars(self) -> Line:
        """Below each column a bar for the strongest value in it, on the map's scale."""
        layout = self.layout
        body: list[Segment] = []
        for column in self.columns:
            look, share = self.grid.strongest(column)
            body.append(self.paint.bar(look, share, layout.fill))
            if layout.gap:
                body.append(Segment(" " * layout.gap, self.paint.blank))
        return [Segment(" " * layout.gutter, self.label)], body

    def texts(self, texts: Sequence[str], marked: bool = False) -> Line:
        """Below each column its text, cut to the column; `marked`: all of them stand out."""
        layout = self.layout
        body = [
            Segment(
                cell_fit(texts[column], layout.fill) + " " * layout.gap,
                self.label_cursor if marked or column == self.cursor[0] else self.label,
            )
            for column in self.columns
            if column < len(texts)
        ]
        return [Segment(" " * layout.gutter, self.label)], body

    def _crowds_cursor(self, column: int, text: str) -> bool:
        """Whether a column's number would run into the one at the cursor."""
        here = self.cursor[0]
        if column == here:
            return False
        left = (column, text) if column < here else (here, str(here))
        return abs(column - here) * self.layout.pitch <= len(left[1])

    def _gap(self, row: int, column: int, here: bool) -> Segment:
        """The gap left of a column, with a bracket if the cursor is beside it."""
        if not here or not self.layout.gap:
            return Segment(" ", self.paint.blank)
        upper, lower = self.layout.cells_of(row)
        whole = not self.layout.halves
        return self.paint.bracket(
            whole or self.cursor[1] == upper,
            whole or self.cursor[1] == lower,
            closes=self.cursor[0] == column - 1,
            opens=self.cursor[0] == column,
        )


class CellMap(ScrollView, Generic[Ref], can_focus=True):
    """Values of all cells as a picture with a cursor.

    Cells whose value is missing show a faint dot; estimates look thinner than exact values. The
    scale follows the values unless `set_scale` fixes it.

    Args:
        columns: columns of cells.
        cells: cells in each.
        centred: values are changes around zero (harm to help) rather than amounts.
        glyphs: draw glyphs instead of colours; None asks the terminal.
    """

    DEFAULT_CSS = """
    CellMap {
        width: 1fr;
        height: 1fr;
        scrollbar-size: 0 0;
        background: transparent;
        & > .cell-map--label { color: $text-muted; }
        & > .cell-map--label-cursor { color: $accent; text-style: bold; }
        & > .cell-map--pending { color: $foreground 25%; }
        & > .cell-map--cursor { color: $foreground; text-style: bold; }
        & > .cell-map--mark { color: $foreground; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "cell-map--label",
        "cell-map--label-cursor",
        "cell-map--pending",
        "cell-map--cursor",
        "cell-map--mark",
    }
    ALLOW_SELECT = False
    SHARES: ClassVar[bool] = False
    """Amounts are shares of a whole, whose steps go by the square root."""
    TRIANGULAR: ClassVar[bool] = False
    """What has no value above the diagonal stays blank: nothing is missing there."""

    cursor: reactive[Any]
    """What the cell under the cursor stands for."""

    class CellHighlighted(WidgetMessage["CellMap[Any]"]):
        """The cursor reached a cell, or the mouse is over one (`hover`).

        The first cell is highlighted when the map appears, and the cursor's again when the mouse
        leaves.
        """

        def __init__(self, cell_map: CellMap[Any], ref: Any, hover: bool = False) -> None:
            super().__init__(cell_map)
            self.ref = ref
            self.hover = hover

    class CellSelected(WidgetMessage["CellMap[Any]"]):
        """A cell was chosen by enter or a double click."""

        def __init__(self, cell_map: CellMap[Any], ref: Any) -> None:
            super().__init__(cell_map)
            self.ref = ref

    def __init__(
        self,
        columns: int = 0,
        cells: int = 0,
        *,
        centred: bool = True,
        glyphs: bool | None = None,
    ) -> None:
        super().__init__()
        self._grid = self._empty(columns, cells, centred)
        self._glyphs = glyphs
        self.moved = False
        """Whether the cursor is where somebody put it, rather than where the map was opened."""
        self._hovered: Cell | None = None
        self._paint: CellPaint | None = None
        self._layout = CellLayout.fit(columns, cells, 0, 0)

    def _empty(self, columns: int, cells: int, centred: bool) -> CellGrid:
        return CellGrid(columns, cells, centred, self.SHARES, self.TRIANGULAR)

    @abstractmethod
    def ref(self, cell: Cell) -> Ref:
        """What a cell stands for."""

    @abstractmethod
    def cell(self, ref: Ref) -> Cell:
        """Where that is."""

    @abstractmethod
    def layout_for(self, width: int, height: int) -> CellLayout:
        """How the map lies in so many columns and lines."""

    @abstractmethod
    def footer(self, lines: CellLines, strip: int) -> Line:
        """What stands below the cells, on one of the lines there."""

    def clear(self, columns: int, cells: int) -> None:
        """Forget all values and take another shape; the cursor stays if it still fits."""
        fixed = self._grid.fixed
        self._grid = self._empty(columns, cells, self._grid.centred)
        self._grid.fixed = fixed
        self._hovered = None
        self._fit()
        self._rescale()
        self.cursor = self.validate_cursor(self.cursor)

    def set_values(
        self,
        values: Mapping[Ref, float | None] | Sequence[Sequence[float | None]],
        exact: bool | Collection[Ref] = True,
        *,
        centred: bool = True,
    ) -> None:
        """Show these values in place of all others.

        Args:
            values: a number for each cell, or lists [column][cell]; None and NaN are pending.
            exact: whether the values are exact or estimates, or the cells whose values are.
            centred: values are changes around zero rather than amounts.
        """
        self._grid.empty()
        self._grid.centred, self._paint = centred, None
        self._store(values, exact)
        self._rescale()
        self.refresh()

    def update_cells(
        self,
        values: Mapping[Ref, float | None] | Sequence[Sequence[float | None]],
        exact: bool | Collection[Ref] = True,
    ) -> None:
        """Show these values and leave the other cells as they are.

        Only the cells given are painted again, unless they change the scale.
        """
        touched = self._store(values, exact)
        if not self._rescale():
            for cell in touched:
                self._refresh_cell(cell)
            for line in self._layout.below(self.size.height):
                self._refresh_line(line)

    def _store(
        self,
        values: Mapping[Ref, float | None] | Sequence[Sequence[float | None]],
        exact: bool | Collection[Ref],
    ) -> list[Cell]:
        known = exact if isinstance(exact, bool) else {self.cell(ref) for ref in exact}
        if not isinstance(values, Mapping):
            return self._grid.store(values, known)
        for ref in values:
            if not self._grid.holds(self.cell(ref)):
                columns, cells = self.shape
                raise ValueError(f"{ref} is outside a map of {columns} × {cells}")
        return self._grid.store({self.cell(ref): value for ref, value in values.items()}, known)

    def set_scale(self, low: float | None = None, high: float | None = None) -> None:
        """Fix the values that the ends of the ramp mean; without them the scale is automatic."""
        self._grid.fixed = None if low is None or high is None else (low, high)
        self._rescale()

    def set_marked(self, refs: Iterable[Ref]) -> None:
        """Mark these with a dot, and no others."""
        marked = frozenset(map(self.cell, refs))
        for cell in marked ^ self._grid.marked:
            self._refresh_cell(cell)
        self._grid.marked = marked

    def set_signs(self, signs: Mapping[Ref, str]) -> None:
        """Write a letter on each of these, and on no others."""
        found = {self.cell(ref): sign for ref, sign in signs.items()}
        for cell in found.keys() ^ self._grid.signs.keys():
            self._refresh_cell(cell)
        self._grid.signs = found

    def move_to(self, ref: Ref) -> None:
        """Put the cursor there and bring it into view."""
        self.moved, self.cursor = True, ref

    def offer(self, ref: Ref) -> None:
        """Put the cursor there, unless somebody has moved it."""
        if not self.moved:
            self.cursor = ref

    def value(self, ref: Ref) -> float | None:
        """The value shown; None while it is pending."""
        return self._grid.value(self.cell(ref))

    @property
    def shape(self) -> tuple[int, int]:
        """Columns, and cells in each."""
        return self._grid.columns, self._grid.cells

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest value: those fixed, else those seen."""
        return self._grid.scale

    @property
    def ramp(self) -> Ramp:
        """The ramp in use, which follows the theme."""
        grid = self._grid
        return ramp_of(self.app.current_theme, centred=grid.centred, rooted=grid.rooted)

    @property
    def geometry(self) -> CellLayout:
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
        self._layout = self.layout_for(*self.size)
        self.virtual_size = self._layout.size
        self.refresh()
        self.call_after_refresh(self._show_cursor)

    def _painted(self) -> CellPaint:
        if self._paint is None:
            _, background = self.background_colors
            self._paint = CellPaint(
                self.ramp,
                background,
                cursor=solid(self, "cell-map--cursor"),
                mark=solid(self, "cell-map--mark"),
                pending=ink(self, "cell-map--pending"),
                glyphs=self.glyphs,
            )
        return self._paint

    def render_line(self, y: int) -> Strip:
        """One line of the map: column numbers, a row of cells, or what stands below them."""
        layout, paint, (width, height) = self._layout, self._painted(), self.size
        left, top = self.scroll_offset
        row, below = y - HEADER + top, layout.below(height)
        if not all(self.shape) or (row >= layout.rows and y not in below):
            return Strip.blank(width, paint.blank)
        first = max(0, left // layout.pitch - BEFORE)
        lines = CellLines(
            self._grid,
            layout,
            paint,
            self.cell(self.cursor),
            paint.blank + ink(self, "cell-map--label"),
            paint.blank + ink(self, "cell-map--label-cursor"),
            range(first, min(layout.columns, (left + width) // layout.pitch + 1)),
        )
        if y < HEADER:
            gutter, body = lines.header(self._more())
        elif y in below:
            gutter, body = self.footer(lines, y - below.start)
        else:
            gutter, body = lines.row(row)
        # Labels stay while the cells scroll under them.
        start = left - first * layout.pitch
        cells = Strip(body).crop(start, start + width - layout.gutter)
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

    def _refresh_cell(self, cell: Cell) -> None:
        if self._grid.holds(cell):
            self.refresh(self._layout.region(*cell).translate(-self.scroll_offset))

    def _refresh_line(self, y: int) -> None:
        self.refresh(Region(0, y, self.size.width, 1))

    def validate_cursor(self, ref: Ref) -> Ref:
        """Keep the cursor on the map."""
        (column, place), (columns, cells) = self.cell(ref), self.shape
        return self.ref((max(0, min(column, columns - 1)), max(0, min(place, cells - 1))))

    def watch_cursor(self, before: Ref, ref: Ref) -> None:
        """Repaint the two cells and their labels, keep the cursor in view, tell the screen."""
        for each in (self.cell(before), self.cell(ref)):
            self._refresh_cell(each)
            row = HEADER + self._layout.row_of(each[1]) - self.scroll_offset.y
            self.refresh(Region(0, row, self._layout.gutter, 1))
        for line in (0, *self._layout.below(self.size.height)):
            self._refresh_line(line)
        self._show_cursor()
        if all(self.shape):
            self.post_message(self.CellHighlighted(self, ref))

    @property
    def cursor_line(self) -> int:
        """The line of the map that the cursor is on."""
        return self._layout.region(*self.cell(self.cursor)).y - self.scroll_offset.y

    def _show_cursor(self) -> None:
        layout = self._layout
        column, place = self.cell(self.cursor)
        region = layout.region(column, place)
        # Labels and what stands below cover three sides, so the cells scroll in what they leave.
        view = Size(self.size.width - layout.gutter, self.size.height - HEADER - layout.footer)
        x, y = region.x - layout.gutter, region.y - HEADER
        left, top = self.scroll_offset
        # The column's number may be wider than its cells.
        wide = max(region.width, len(str(column)))
        left = min(max(left, x + wide - view.width), max(x, 0))
        top = min(max(top, y + region.height - view.height), y)
        if Offset(left, top) != self.scroll_offset:
            self.scroll_to(left, top, animate=False)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the cell; a second click chooses it."""
        cell = self._cell_at(event)
        if cell is None:
            return
        if event.chain == 2:  # the first click has moved the cursor
            self.action_select()
        elif event.chain == 1:
            self.move_to(self.ref(cell))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Let the screen read out the cell under the mouse."""
        cell = self._cell_at(event)
        if cell is not None and cell != self._hovered:
            self.post_message(self.CellHighlighted(self, self.ref(cell), hover=True))
        elif cell is None:
            self._leave()
        self._hovered = cell

    def on_leave(self) -> None:
        """Go back to the cell under the cursor."""
        self._leave()
        self._hovered = None

    def _leave(self) -> None:
        if self._hovered is not None:
            self.post_message(self.CellHighlighted(self, self.cursor))

    def _cell_at(self, event: events.MouseEvent) -> Cell | None:
        place = event.get_content_offset(self)
        if place is None or place.y < HEADER or place.x < self._layout.gutter:
            return None
        if place.y in self._layout.below(self.size.height):
            return None
        found = self._layout.at(place.x + self.scroll_offset.x, place.y + self.scroll_offset.y)
        if found is None:
            return None
        column, row = found
        upper, lower = self._layout.cells_of(row)
        # A terminal reports lines, not halves: a click on the line again takes the other half.
        again = isinstance(event, events.Click) and self.cell(self.cursor) == (column, upper)
        return column, lower if again and lower is not None else upper

    def action_move(self, columns: int, cells: int) -> None:
        """Move the cursor by so many columns and cells, as far as the map goes."""
        column, place = self.cell(self.cursor)
        self._go(column + columns, place + cells)

    def action_column(self, end: str) -> None:
        """Go to the first or the last column, in the same row."""
        self._go(0 if end == "first" else self.shape[0], self.cell(self.cursor)[1])

    def action_row(self, end: str) -> None:
        """Go to the topmost or the lowest row, in the same column."""
        self._go(self.cell(self.cursor)[0], 0 if end == "first" else self.shape[1])

    def action_corner(self, end: str) -> None:
        """Go to the first or the last cell of all."""
        self._go(*((0, 0) if end == "first" else self.shape))

    def _go(self, column: int, place: int) -> None:
        self.move_to(self.ref((column, place)))

    def action_select(self) -> None:
        """Choose the cell under the cursor."""
        if all(self.shape):
            self.post_message(self.CellSelected(self, self.cursor))


class HeadMap(CellMap[HeadRef]):
    """One cell for each attention head, layers to the right, heads down.

    Where a line is left, bars below the heads show the strongest value of each layer.
    """

    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("left,h", "move(-1, 0)", "Layer before", id="map.layer-before"),
            unlisted("right,l", "move(1, 0)", "Layer after", id="map.layer-after"),
            unlisted("up,k", "move(0, -1)", "Head above", id="map.head-above"),
            unlisted("down,j", "move(0, 1)", "Head below", id="map.head-below"),
            unlisted("pageup", "move(0, -8)", "Eight heads up", id="map.eight-heads-up"),
            unlisted("pagedown", "move(0, 8)", "Eight heads down", id="map.eight-heads-down"),
            unlisted("home", "column('first')", "First layer", id="map.first-layer"),
            unlisted("end", "column('last')", "Last layer", id="map.last-layer"),
            unlisted("g", "corner('first')", "First head", id="map.first-head"),
            unlisted("G", "corner('last')", "Last head", id="map.last-head"),
            unlisted("enter", "select", "Open", system=True, id="map.open"),
        ],
    )
    cursor: reactive[HeadRef] = reactive(HeadRef(0, 0), repaint=False)
    """The head under the cursor."""

    def ref(self, cell: Cell) -> HeadRef:
        """The head of a cell."""
        return HeadRef(*cell)

    def cell(self, ref: HeadRef) -> Cell:
        """The cell of a head."""
        return ref.layer, ref.index

    def layout_for(self, width: int, height: int) -> CellLayout:
        """As roomy as shows all heads."""
        return CellLayout.fit(*self.shape, width, height, allow_halves=not self.glyphs)

    def footer(self, lines: CellLines, strip: int) -> Line:
        """The strongest value of each layer as a bar."""
        return lines.bars()


@dataclass(frozen=True, slots=True)
class Position:
    """What a layer holds at a place of the prompt."""

    layer: int
    place: int

    def __str__(self) -> str:
        return f"L{self.layer} at position {self.place}"


class PositionMap(CellMap[Position]):
    """One cell for each layer at each position of a prompt: layers up, the prompt to the right,
    its tokens below. A long prompt scrolls sideways."""

    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("left,h", "move(-1, 0)", "Position before", id="positions.before"),
            unlisted("right,l", "move(1, 0)", "Position after", id="positions.after"),
            unlisted("up,k", "move(0, -1)", "Layer above", id="positions.layer-above"),
            unlisted("down,j", "move(0, 1)", "Layer below", id="positions.layer-below"),
            unlisted("pageup", "move(0, -8)", "Eight layers up", id="positions.eight-layers-up"),
            unlisted(
                "pagedown", "move(0, 8)", "Eight layers down", id="positions.eight-layers-down"
            ),
            unlisted("home", "column('first')", "First position", id="positions.first"),
            unlisted("end", "column('last')", "Last position", id="positions.last"),
            unlisted("g", "row('last')", "First layer", id="positions.first-layer"),
            unlisted("G", "row('first')", "Last layer", id="positions.last-layer"),
        ],
    )
    cursor: reactive[Position] = reactive(Position(0, 0), repaint=False)
    """The layer and position under the cursor."""

    _strips: tuple[tuple[str, ...], ...] = ((),)

    def set_tokens(self, tokens: Sequence[str | None], other: Sequence[str] = ()) -> None:
        """Show below each position what the prompt has there; the blank before a word is left out,
        since a column has room for a few letters.

        Args:
            tokens: of the prompt.
            other: those of a second prompt, shown in a line of their own where they differ.
        """
        own = tuple(map(_short, tokens))
        both = zip(own, map(_short, other), strict=False)
        differing = tuple("" if one == second else second for one, second in both)
        strips = (own, differing) if other else (own,)
        if strips != self._strips:
            self._strips = strips
            self._fit()

    def ref(self, cell: Cell) -> Position:
        """The layer and position of a cell."""
        return Position(self.shape[1] - 1 - cell[1], cell[0])

    def cell(self, ref: Position) -> Cell:
        """The cell of a layer and position."""
        return ref.place, self.shape[1] - 1 - ref.layer

    def layout_for(self, width: int, height: int) -> CellLayout:
        """Wide enough for the tokens, where all of them fit."""
        longest = max((cell_len(each) for strip in self._strips for each in strip), default=0)
        return CellLayout.of_positions(
            *self.shape,
            longest,
            width,
            height,
            allow_halves=not self.glyphs,
            strips=len(self._strips),
        )

    def footer(self, lines: CellLines, strip: int) -> Line:
        """The tokens of the prompt, or those in which the second one differs."""
        return lines.texts(self._strips[strip], marked=strip > 0)


def _short(token: str | None) -> str:
    text = visible(token or "", quote=False)
    return text.removeprefix("␣") or text
