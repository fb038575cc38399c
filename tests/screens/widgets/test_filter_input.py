"""The filter line: opening, typing, keeping and cancelling."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Input, Label

from screens.widgets.inputs import FilterInput


class FilterApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield FilterInput()

    @property
    def line(self) -> FilterInput:
        return self.query_one(FilterInput)

    def on_filter_input_changed(self, event: FilterInput.Changed) -> None:
        self.said.append(("changed", event.text))

    def on_filter_input_submitted(self, event: FilterInput.Submitted) -> None:
        self.said.append(("submitted", event.text))

    def on_filter_input_cleared(self, event: FilterInput.Cleared) -> None:
        self.said.append(("cancelled", event.text))

    def on_input_changed(self) -> None:
        raise AssertionError("the inner field's messages stay inside")


async def test_it_is_hidden_until_it_is_opened() -> None:
    app = FilterApp()
    async with app.run_test(size=(80, 5)) as pilot:
        assert not app.line.is_open
        assert app.line.region.height == 0
        app.line.open()
        await pilot.pause()
        assert app.line.is_open
        assert app.line.region.height == 1
        assert app.focused is app.line.query_one(Input)


async def test_each_key_is_told_and_enter_keeps_the_text() -> None:
    app = FilterApp()
    async with app.run_test(size=(80, 5)) as pilot:
        app.line.open()
        await pilot.press("L", "2", "0", "enter")
        await pilot.pause()
        assert app.said == [
            ("changed", "L"),
            ("changed", "L2"),
            ("changed", "L20"),
            ("submitted", "L20"),
        ]
        assert not app.line.is_open
        app.line.open()
        await pilot.press("H")
        assert app.line.text == "L20H"


async def test_escape_empties_and_closes() -> None:
    app = FilterApp()
    async with app.run_test(size=(80, 5)) as pilot:
        app.line.open("eight")
        app.line.set_note("no such column", error=True)
        await pilot.press("escape")
        await pilot.pause()
        assert app.said == [("cancelled", "")]
        assert app.line.text == ""
        assert not app.line.is_open
        note = app.line.query_one(".filter-input--note", Label)
        assert str(note.render()).strip() == ""
        assert not note.has_class("-error")


async def test_a_note_is_never_markup() -> None:
    app = FilterApp()
    async with app.run_test(size=(80, 5)) as pilot:
        app.line.open()
        app.line.set_note("[red]3[/red] of 9")
        await pilot.pause()
        note = app.line.query_one(".filter-input--note", Label)
        assert str(note.render()).strip() == "[red]3[/red] of 9"
