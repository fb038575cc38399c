"""What heads look at, as a prompt whose tokens are shaded or as a map of queries by keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, TypeAlias, get_args

import polars as pl
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import printed
from analysis.refs import HeadRef
from analysis.shapes import measures
from screens.text import NOTHING, count, number, strings, visible
from screens.views import ShapeView
from screens.widgets.attention_map import AttentionMap, QueryKey
from screens.widgets.cell_map import CellMap
from screens.widgets.lines import Legend
from screens.widgets.look_list import Looked, LookList, Looks
from screens.widgets.prompt_text import PromptText, set_in_lines
from screens.workspace import Result
from sessions import View

Face: TypeAlias = Literal["text", "matrix"]
MOVED = {"weight": "of its attention", "value_weighted": "of what it moves"}
"""What the measures are shares of."""
CALLED = {"weight": "weights", "value_weighted": "weights × value length"}
"""The measures, in a few words."""
SHORT = {"weight": "weight", "value_weighted": "× value"}
"""The same over a column of numbers."""
SCALE = (0.0, 1.0)
MOST_MAPPED = 1_024
"""Tokens of a prompt that is drawn as a map: its cells are as many times as many."""
NAMED = 3
"""Tokens that the reading names."""
WIDE, LONG = 100, 3
"""Columns from which the list stands beside the prompt, if that takes a third of the lines."""


@dataclass(frozen=True)
class Attended:
    """What one head looks at in one run.

    Args:
        rows: those of this head.
        tokens: of the prompt, or the roles of several.
        ordered: none looks at those after it, as in every single prompt.
    """

    rows: pl.DataFrame
    tokens: tuple[str | None, ...]
    ordered: bool = True

    @classmethod
    def of(cls, result: Result, head: HeadRef) -> Attended:
        """That of a result; its rows may be anybody's."""
        rows = result.rows.filter(layer=head.layer, head=head.index)
        tokens = tokens_of(result)
        inside = [pl.col(name).is_between(0, len(tokens) - 1) for name in ("query", "key")]
        ordered = result.baseline.get("cases", 1) == 1
        seen = pl.col("key") <= pl.col("query") if ordered else pl.lit(True)
        return cls(rows.filter(*inside, seen), tokens, ordered)

    def by_key(self, query: int, measure: str) -> dict[int, float]:
        """What one token looks at, by places."""
        here = self.rows.filter(query=query).select("key", measure).drop_nulls()
        return {key: value for key, value in here.iter_rows() if value == value}

    def by_pair(self, measure: str) -> dict[QueryKey, float]:
        """All of it."""
        known = self.rows.select("query", "key", measure).drop_nulls()
        return {QueryKey(query, key): value for query, key, value in known.iter_rows()}


def heads_of(result: Result) -> list[HeadRef]:
    """The heads that a result has rows of, as they were asked for."""
    found = result.rows.select("layer", "head").drop_nulls().unique()
    heads = sorted(HeadRef(layer, head) for layer, head in found.iter_rows())
    asked = {name: place for place, name in enumerate(result.step.about)}
    return sorted(heads, key=lambda head: asked.get(str(head), len(asked)))


def tokens_of(result: Result) -> tuple[str | None, ...]:
    """The prompt's tokens, or the roles that stand for those of several prompts."""
    if found := strings(result.baseline.get("tokens")):
        return tuple(found)
    rows = result.rows
    if not rows.height:
        return ()
    ends = [
        rows.select(place=place, token=f"{place}_token").drop_nulls("place").unique("place")
        for place in ("query", "key")
    ]
    known = dict(pl.concat(ends).iter_rows())
    # Each token looks at one at least, whatever places somebody wrote.
    return tuple(known.get(place) for place in range(min(max(known, default=0) + 1, rows.height)))


class AttentionView(ShapeView):
    """One head at a time: what each token looks at, alone or beside another run."""

    head: HeadRef | None = None
    """The one in sight."""
    face: Face = "text"
    second: Result | None = None
    """The run beside it, which has this head and as many tokens."""
    apart: bool = False
    """Not the two runs but what the second has above the first is in sight."""
    names: tuple[str, str] = ("", "")
    """What the two runs are called."""
    _reach = 1.0
    """The largest difference of the two."""
    _first: Attended | None = None
    _other: Attended | None = None

    def compose(self) -> ComposeResult:
        """The prompt, or both, with the list of keys; or the maps; below, what colours mean."""
        with Container(classes="looks"):
            with Vertical(classes="prompts"):
                for _ in "ab":
                    yield Static(classes="caption", markup=False)
                    yield PromptText()
            yield LookList()
        with Horizontal(classes="maps"):
            for _ in "ab":
                with Vertical():
                    yield Static(classes="caption", markup=False)
                    yield AttentionMap()
        yield Legend()

    def on_mount(self) -> None:
        """Only the first of two takes the keys."""
        for kind in (PromptText, AttentionMap):
            self.query(kind).last().can_focus = False

    def on_resize(self) -> None:
        """The list goes beside a long prompt where there is room."""
        self._share_space()

    def _share_space(self) -> None:
        width, height = self.size
        lines = len(set_in_lines(self.tokens, width, 1))
        wide = width >= WIDE and lines > height // LONG
        self.query_one(".looks").set_class(wide, "-wide")

    @property
    def text(self) -> PromptText:
        """The prompt that has the cursor."""
        return self.query(PromptText).first()

    @property
    def map(self) -> AttentionMap:
        """The map that has the cursor."""
        return self.query(AttentionMap).first()

    @property
    def cursor(self) -> Widget:
        """What takes the keys."""
        return self.map if self.face == "matrix" else self.text

    @property
    def query_place(self) -> int:
        """The token that looks."""
        return self.map.cursor.query if self.face == "matrix" else self.text.cursor

    @property
    def tokens(self) -> tuple[str | None, ...]:
        """Those of the prompt in sight."""
        return () if self._first is None else self._first.tokens

    def draw(self, result: Result, new: bool) -> None:
        """Show what is known of the head, from the last token at first."""
        heads = heads_of(result)
        if heads and self.head not in heads and str(self.head) not in result.step.about:
            self.head = heads[0]
        first = Attended.of(result, self.head) if self.head else Attended(result.rows, ())
        second = self.second
        other = Attended.of(second, self.head) if second and self.head else None
        before, self._first, self._other = self._first, first, other
        for each, shown in zip(self.query(PromptText), (first, other), strict=True):
            each.set_tokens(*((shown.tokens, not shown.ordered) if shown else ((),)))
        if before is None or before.tokens != first.tokens:
            self.text.cursor = len(first.tokens) - 1
        self._together()
        self._share_space()
        self._arrange()

    def _together(self) -> None:
        """The second prompt or map goes along with the first."""
        with self.prevent(PromptText.TokenHighlighted, CellMap.CellHighlighted):
            if self.face == "matrix":
                self.query(AttentionMap).last().move_to(self.map.cursor)
            else:
                self.query(PromptText).last().cursor = self.text.cursor

    def _arrange(self) -> None:
        """Show the face in sight, of one run, of both, or of their difference."""
        matrix, two = self.face == "matrix", self._other is not None and not self.apart
        self.query_one(".looks").display, self.query_one(".maps").display = not matrix, matrix
        for kind in (PromptText, AttentionMap):
            self.query(kind).last().display = two
        self.query(".maps Vertical").last().display = two
        captions = [Text(), Text()]
        if self._other is not None:
            captions = [Text(f"{letter}  {name}", style="bold") for letter, name in self._named]
        for place, caption in enumerate(self.query(".caption").results(Static)):
            caption.update(captions[place % 2])
            caption.display = self._other is not None and (two or place % 2 == 0)
        if self._centred:
            sizes = (abs(each) for each in self._apart().values())
            self._reach = max((each for each in sizes if isfinite(each)), default=0.0) or 1.0
        if matrix:
            self._map()
        self._shade()
        legend = self.query_one(Legend)
        legend.set_scale(*self._scale)
        legend.set_note(*self._notes())

    @property
    def _named(self) -> list[tuple[str, str]]:
        a, b = self.names
        return [("B − A", f"{b} − {a}"), ("", "")] if self.apart else [("A", a), ("B", b)]

    @property
    def _centred(self) -> bool:
        return self._other is not None and self.apart

    @property
    def _scale(self) -> tuple[float, float]:
        return (-self._reach, self._reach) if self._centred else SCALE

    def _apart(self) -> dict[QueryKey, float]:
        """What the second run has above the first, of all that both know."""
        assert self._first is not None
        assert self._other is not None
        a, b = (each.by_pair(self.measure) for each in (self._first, self._other))
        return {pair: b[pair] - a[pair] for pair in a.keys() & b.keys()}

    def _notes(self) -> list[str]:
        """What the colours show, and that not all of a long prompt is known."""
        legend, moved = self.query_one(Legend), MOVED.get(self.measure, "")
        ends = ("less in B", "more in B") if self._centred else ("", moved)
        decimals = 2 if self._centred else 0
        legend.set_meaning(*ends, centred=self._centred, decimals=decimals, rooted=True)
        top = self.result.baseline.get("top") if self.result else None
        return [f"the {top} largest of each token are known"] if isinstance(top, int) else []

    def _map(self) -> None:
        """Colour the maps; what is no number between the ends has the colour of an end."""
        shown = [each for each in (self._first, self._other) if each is not None]
        if self._centred:
            values = [self._apart()]
        else:
            values = [each.by_pair(self.measure) for each in shown]
        for map, each, known in zip(self.query(AttentionMap), shown, values, strict=False):
            map.set_tokens(each.tokens, each.ordered)
            map.set_scale(*self._scale)
            map.set_values(known, centred=self._centred)

    def _shade(self) -> None:
        """Shade the prompts by what the token under the cursor looks at, and list it."""
        first, other, query = self._first, self._other, self.query_place
        a = {} if first is None else first.by_key(query, self.measure)
        b = {} if other is None else other.by_key(query, self.measure)
        apart = {key: b[key] - a[key] for key in a.keys() & b.keys()}
        shaded = [apart if self._centred else a, b]
        for text, values in zip(self.query(PromptText), shaded, strict=True):
            text.set_values(values, self._scale, centred=self._centred)
        looks = Looks() if not a else self._beside(a, b, apart) if b else self._alone(a, query)
        self.query_one(LookList).show(looks)

    @property
    def _seen(self) -> int:
        """How many tokens the one under the cursor can look at."""
        ordered = self._first is None or self._first.ordered
        return self.query_place + 1 if ordered else len(self.tokens)

    def _alone(self, values: Mapping[int, float], query: int) -> Looks:
        """The keys of one run, by both measures."""
        assert self._first is not None
        assert self.result is not None
        known = measures(self.result.step.filled)
        others = {each: self._first.by_key(query, each) for each in known}
        rows = [
            Looked(key, self.tokens[key : key + 1], tuple(others[each].get(key) for each in known))
            for key in sorted(values, key=lambda key: -values[key])
        ]
        columns = tuple(SHORT.get(each, each) for each in known)
        wholes = (1.0,) * len(known)
        return Looks(columns, rows, wholes, self._seen, known.index(self.measure))

    def _beside(
        self, a: Mapping[int, float], b: Mapping[int, float], apart: Mapping[int, float]
    ) -> Looks:
        """The keys of two runs: by the first, or by what the second has above it."""
        order: Mapping[int, float] = apart if self.apart else a
        keys = sorted(a.keys() | b.keys(), key=lambda key: -abs(order.get(key, 0.0)))
        both = [each.tokens for each in (self._first, self._other) if each is not None]
        rows = [
            Looked(
                key,
                tuple(dict.fromkeys(tokens[key] for tokens in both)),
                (a.get(key), b.get(key), apart.get(key)),
            )
            for key in keys
        ]
        main = 2 if self.apart else 0
        return Looks(
            ("A", "B", "B − A"),
            rows,
            (1.0, 1.0, 0.0),
            self._seen,
            main,
            self._scale,
            self._centred,
        )

    # What the screen asks for

    def look(self, head: HeadRef) -> None:
        """Show another head of the result."""
        self.head = head
        if self.result is not None:
            self.draw(self.result, new=False)

    def compare(self) -> None:
        """Show what the second run has above the first, or both."""
        self.apart = not self.apart
        self._arrange()

    @property
    def too_long(self) -> bool:
        """Whether the prompt has too many tokens for a map."""
        return len(self.tokens) > MOST_MAPPED

    def turn(self, face: Face) -> None:
        """Show the prompt or the map, from the same token."""
        if face == self.face or (face == "matrix" and self.too_long):
            return
        query, self.face = self.query_place, face
        if face == "matrix":
            self._map()  # a cursor needs its cell
            self.map.move_to(QueryKey(query, self._strongest(query)))
        else:
            self.text.cursor = query
        self._arrange()
        self.cursor.focus()

    def _strongest(self, query: int) -> int:
        values = self._first.by_key(query, self.measure) if self._first else {}
        return max(values, key=lambda key: values[key], default=query)

    @on(PromptText.TokenHighlighted)
    @on(CellMap.CellHighlighted)
    def _moved(self, event: PromptText.TokenHighlighted | CellMap.CellHighlighted) -> None:
        """Another token looks."""
        event.stop()
        if event.control is not self.cursor:
            return
        self._together()
        self._shade()
        self.post_message(self.Moved(self))

    def row(self) -> dict[str, Any] | None:
        """The row of the two tokens under the cursor; in the text of the strongest key."""
        if self._first is None or not self.tokens:
            return None
        query = self.query_place
        key = self.map.cursor.key if self.face == "matrix" else self._strongest(query)
        found = self._first.rows.filter(query=query, key=key)
        return next(found.iter_rows(named=True), None)

    def reading(self) -> Text:
        """Who looks, from where, at what, with the numbers."""
        if self.head is None or self._first is None or not self.tokens:
            return super().reading()
        query = self.query_place
        text = Text(" ").append(str(self.head), style="bold").append("  from ", style="dim")
        text.append(visible(self.tokens[query])).append(f" at {count(query)}", style="dim")
        if self.face == "matrix":
            return self._pair_words(text, self.map.cursor.key)
        values = self._first.by_key(query, self.measure)
        if not values:
            return text.append("  waiting" if self._active else "  unknown", style="dim")
        if self._centred and self._other is not None:
            b = self._other.by_key(query, self.measure)
            values = {key: b[key] - values[key] for key in values.keys() & b.keys()}
        text.append("  differs at " if self._centred else "  looks at ", style="dim")
        for key in sorted(values, key=lambda key: -abs(values[key]))[:NAMED]:
            text.append(f"{visible(self.tokens[key])} ")
            text.append(f"{number(values[key], 3, sign=self._centred)}   ", style="bold")
        text.rstrip()
        return text

    @property
    def _active(self) -> bool:
        return self.result is not None and self.result.active

    def _pair_words(self, text: Text, key: int) -> Text:
        """At which token, and how much by each measure, in both runs."""
        text.append("  to ", style="dim")
        text.append(visible(self.tokens[key]))
        text.append(f" at {count(key)}", style="dim")
        row = self.row()
        for name in measures(self.result.step.filled) if self.result else ():
            value = NOTHING if row is None else number(row[name], 3)
            text.append(f"  {SHORT.get(name, name)} ", style="dim").append(value)
        if self._other is not None:
            there = self._other.by_key(self.query_place, self.measure).get(key)
            text.append("  beside it ", style="dim").append(number(there, 3))
        return text

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """What the token under the cursor looks at, or all that the head does."""
        if self.result is None or self._first is None:
            return None
        rows = self.result.step.ranked(self._first.rows).select(printed(self.result.step.filled))
        return rows if everything else rows.filter(query=self.query_place)

    def view(self) -> View:
        """The head, the face, the tokens under the cursor and the measure."""
        return {
            **super().view(),
            "head": None if self.head is None else str(self.head),
            "face": self.face,
            "query": self.query_place,
            "apart": self.apart,
        }

    def show_view(self, view: View) -> None:
        """Put these back, as far as the result has them; an empty view: as at first."""
        super().show_view(view)
        heads = [] if self.result is None else heads_of(self.result)
        self.apart = view.get("apart") is True
        if heads:
            named = (each for each in heads if str(each) == view.get("head"))
            self.look(next(named, heads[0]))
        face, query = view.get("face"), view.get("query")
        self.turn("matrix" if face in get_args(Face)[1:] else "text")
        if isinstance(query, int) and self.tokens and 0 <= query < len(self.tokens):
            self._go(query)
        elif self.tokens:
            self._go(len(self.tokens) - 1)

    def _go(self, query: int) -> None:
        if self.face == "matrix":
            self.map.move_to(QueryKey(query, self._strongest(query)))
        else:
            self.text.cursor = query
