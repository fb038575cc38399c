"""Any result by the shape of its rows: where a step has no screen of its own, and on demand."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from analysis.refs import HeadRef
from analysis.shapes import measures
from screens.attention import look_at
from screens.corpus import fires_on, part_named
from screens.keys import unlisted
from screens.messages import RerunRequested
from screens.shape_screen import ShapeScreen
from screens.views import MapView
from screens.workspace import Result

ONE_MEASURE = "There is one measure here, or all of them are in sight."


class ResultScreen(ShapeScreen):
    """The result of any step."""

    NAME = "result"
    TITLE = "A result by its shape"
    TABLE = "#rows"
    LIVE = frozenset({"run"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Go on / again", id="result.again"),
        Binding("m", "measure", "Measure", id="result.measure"),
        Binding("v", "look", "Looks at", id="result.what-it-looks-at"),
        Binding("f", "fires", "Fires on", id="result.fires-on"),
        unlisted("slash", "filter", "Filter", id="result.filter"),
    ]

    @property
    def result(self) -> Result | None:
        """The result that was opened here last."""
        return self.workspace.current(self.NAME)

    def origin(self) -> list[str]:
        """Of which step the rows are, and where that comes from."""
        return [] if self.result is None else [f"step {self.result.name}", *super().origin()]

    def nothing(self) -> None:
        """Any step's result can be opened here."""
        self.set_title("Result")
        self.set_empty(
            "The rows of any step as a picture of their shape: a map, a curve, a table.\n\n"
            "Press <rows.by-its-shape> on another screen to see its result here."
        )

    def refusal(self, action: str) -> str | None:
        """A table shows all measures, a map one of them."""
        if self.is_mounted and self.result is not None:
            shown, step = self.shown, self.result.step
            if action == "measure" and not (
                isinstance(shown, MapView) and len(measures(step.filled)) > 1
            ):
                return ONE_MEASURE
        return super().refusal(action)

    def action_run(self) -> None:
        """Go on where it stopped; a finished step is computed again, beside what is there."""
        result = self.result
        if not self.go_on() and result is not None and not result.active:
            self.post_message(RerunRequested(result.id))

    def action_measure(self) -> None:
        """Colour by the next of the numbers that each row holds."""
        self.shown.next_measure()
        self.read_cursor()

    @property
    def part(self) -> list[str]:
        """The head or neuron under the cursor, if it is one."""
        return part_named((self.shown.row() or {}).get("name"))

    def action_look(self) -> None:
        """Show what the head under the cursor looks at in the prompt at hand."""
        heads = [HeadRef.parse(each) for each in self.part if HeadRef.pattern.fullmatch(each)]
        look_at(self, heads[0] if heads else None, self.workspace.prompt)

    def action_fires(self) -> None:
        """Show what the part under the cursor fires on."""
        fires_on(self, self.part)
