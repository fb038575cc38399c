"""The token strip: chips, wrapping, scrolling."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from screens.widgets.token_strip import ARROW, TokenStrip, chips, wrap

TOKENS = ["<bos>", "2", " +", " ", "3", " =", "[red]", "\n", "\x1b[0m", "八", "\u202e"]


class StripApp(App[None]):
    CSS = "TokenStrip { max-height: 4; }"

    def compose(self) -> ComposeResult:
        yield TokenStrip()

    @property
    def strip(self) -> TokenStrip:
        return self.query_one(TokenStrip)


def text(strip: TokenStrip) -> list[str]:
    return [strip.render_line(y).text.rstrip() for y in range(strip.size.height)]


async def test_tokens_are_numbered_and_the_answer_follows_an_arrow() -> None:
    app = StripApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.strip.set_tokens(TOKENS[:6], special={0}, answer=["8", "\n"])
        await pilot.pause()
        assert app.strip.size.height == 1
        shown = text(app.strip)[0]
        assert shown == r" 0 <bos>  1 2  2 ␣+  3 ␣  4 3  5 ␣=  →  8  \n".rstrip()


async def test_neighbours_special_tokens_and_answers_differ() -> None:
    app = StripApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.strip.set_tokens(["<bos>", "a", "b", "c"], special={0}, answer=["d", "e"])
        await pilot.pause()
        styles = {s.text: s.style for s in app.strip.render_line(0) if s.text.strip()}
        assert styles["a"].bgcolor != styles["b"].bgcolor
        assert styles["a"].bgcolor == styles["c"].bgcolor
        assert styles["<bos>"].italic
        assert styles["d"].bgcolor != styles["e"].bgcolor
        assert styles["d"].color == styles["→"].color != styles["a"].color


async def test_the_answer_can_be_read_in_an_ansi_theme() -> None:
    app = StripApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = "ansi-dark"
        app.strip.set_tokens(["a"], answer=["d", "e"])
        await pilot.pause()
        styles = {s.text: s.style for s in app.strip.render_line(0) if s.style}
        for token in ("d", "e"):
            assert styles[token].color != styles[token].bgcolor
        assert styles["d"].underline != styles["e"].underline


async def test_a_long_prompt_wraps_grows_to_its_limit_and_scrolls() -> None:
    app = StripApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.strip.set_tokens([f" token{n}" for n in range(100)])
        await pilot.pause()
        assert app.strip.size.height == 4
        assert text(app.strip)[0].startswith(" 0 ␣token0  1 ␣token1")
        app.strip.focus()
        await pilot.press("G")
        await pilot.wait_for_scheduled_animations()
        assert text(app.strip)[-1].endswith("99 ␣token99")
        app.strip.set_tokens(["a"])
        await pilot.pause()
        assert app.strip.size.height == 1
        assert text(app.strip) == [" 0 a"]


async def test_no_token_breaks_out_of_its_line() -> None:
    app = StripApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.strip.set_tokens([*TOKENS, "x" * 200])
        await pilot.pause()
        lines = [app.strip.render_line(y) for y in range(app.strip.size.height)]
        assert {line.cell_length for line in lines} <= {app.strip.scrollable_content_region.width}
        assert not set("".join(line.text for line in lines)) & {"\n", "\x1b", "\u202e"}
        assert "[red]" in lines[0].text
        assert "…" in lines[-1].text


@given(st.lists(st.text(max_size=12), max_size=30), st.integers(10, 60))
def test_wrapping_keeps_every_chip_in_order_and_within_the_width(
    tokens: list[str], width: int
) -> None:
    found = chips(tokens, special=(), answer=["8"])
    lines = wrap(found, width)
    assert [chip for line in lines for chip in line] == found
    for line in lines:
        assert len(line) == 1 or sum(chip.width for chip in line) <= width
        assert line[-1] is not ARROW or width < ARROW.width + found[-1].width
