"""Tokens through every widget that shows some: nothing is obeyed, no column moves."""

from __future__ import annotations

import polars as pl
import pytest
from hostile import NASTY, cells, harmless, tokens
from recorded_chain import recorded_result
from rich.segment import Segment
from rich.style import Style
from textual.app import App

from analysis.model.tokens import token_text
from screens.change import MEASURES
from screens.drawn import reading
from screens.neurons import COLUMNS
from screens.paper import CELLS
from screens.text import visible
from screens.timeline import COLUMNS as STEPS
from screens.timeline import NOTE
from screens.tokens import lens_view
from screens.views import end_columns
from screens.widgets.chain_layout import SHALLOW, ChainGraph, ChainLayout
from screens.widgets.frame_table import TableLines
from screens.widgets.table_rows import place
from screens.widgets.token_strip import TokenStrip
from workbench.cli.output import cell

WIDTH = 100
TABLES = {
    "tokens": end_columns("promotes"),
    "says": COLUMNS["cna"],
    "hidden": COLUMNS["hidden"],
    "pairs": MEASURES["pairs"],
    "paper": CELLS,
    "timeline": [*STEPS, NOTE],
}

PLAIN = {"token", "title", "note", "state", "row", "column", "found", "name", "interval"}
"""Columns of text."""


def check(segments: list[Segment], width: int) -> None:
    """Segments of one line that a terminal may be sent."""
    for each in segments:
        assert harmless(each.text), ascii(each.text)
    assert sum(cells(each.text) for each in segments) == width


def lines_of(columns, width=WIDTH) -> TableLines:
    return TableLines(place(columns, width, width - 2), lambda part: Style())


def check_row(lines: TableLines, row: dict) -> None:
    """Every cell of a row is as wide as its column."""
    segments = lines.row(row, estimated=False, marked=False, cursor=False, width=WIDTH)
    for each, placed in zip(segments[2::2], lines.placed, strict=False):
        check([each], placed.width)


def through_lines(columns, texts: list[str], plain: list[str], said: list[str]) -> None:
    """Each text as a value of the plain columns, five at a time as what a neuron says."""
    lines, step = lines_of(columns), 5 if said else 1
    for start in range(0, len(texts), step):
        row = dict.fromkeys(plain, texts[start]) | dict.fromkeys(said, texts[start : start + step])
        check_row(lines, row)


def through_tables(texts: list[str]) -> None:
    """Each text in every column of text of every table."""
    for columns in TABLES.values():
        names = {each.name for each in columns}
        said = sorted(name for name in names if name.startswith("tokens"))
        through_lines(columns, texts, sorted(names & PLAIN), said)


def through_lens(texts: list[str], step: int = 6) -> None:
    """Each text as a cell and as the head of a column of the logit lens."""
    rows = [
        {
            "layer": start // step,
            "position": at,
            "token": text,
            "prob": 0.7,
            "answer_prob": 0.1,
            "reads": texts[at],
        }
        for start in range(0, len(texts) - step + 1, step)
        for at, text in enumerate(texts[start : start + step])
    ]
    columns, grid = lens_view(pl.DataFrame(rows))
    lines = lines_of(columns)
    for each, placed in zip(lines.header(None, False)[1::2], lines.placed, strict=False):
        check([each], placed.width)
    for row in grid.to_dicts():
        check_row(lines, row)


async def through_strip(texts: list[str]) -> None:
    """All texts as the tokens of one prompt, and some as its answer."""

    class Shown(App[None]):
        def compose(self):
            yield TokenStrip()

    async with Shown().run_test(size=(WIDTH, 24)) as pilot:
        strip = pilot.app.query_one(TokenStrip)
        strip.styles.height = 20
        strip.set_tokens(texts, {0}, texts[:3])
        await pilot.pause()
        height = strip.virtual_size.height
        assert height > 20
        for top in range(0, height, 20):
            strip.scroll_to(y=top, animate=False, immediate=True)
            for y in range(20):
                line = strip.render_line(y)
                check(list(line), line.cell_length)
                assert line.cell_length == strip.scrollable_content_region.width


def valid(texts: list[str]) -> list[str]:
    """Those texts as frames hold them: half characters replaced."""
    return [each.encode("utf-8", "replace").decode() for each in texts]


def test_random_unicode_moves_no_column_of_a_table():
    through_tables([*tokens(1500), NASTY, *NASTY])


def test_random_unicode_moves_no_column_of_the_logit_lens():
    through_lens(valid([NASTY, *tokens(600)]))


async def test_random_unicode_is_harmless_in_the_token_strip():
    await through_strip([*tokens(2000), NASTY, *NASTY])


def through_chain(texts: list[str]) -> None:
    """Each text as what a node reads and says, in the drawing and in words."""
    result = recorded_result()
    graph = ChainGraph(result.step.ranked(result.rows))
    layout = ChainLayout.fit(graph, 130)
    name = graph.stage(SHALLOW)[0]
    for text in texts:
        graph.nodes[name] |= {"reads": text, "tokens": [text], "tokens_through": [text, text]}
        label = layout.label(graph, name)
        assert harmless(label)
        assert cells(label) <= layout.widths[SHALLOW]
        words = reading(name, graph, result.baseline | {"answer": text}, waiting=False)
        assert all(harmless(line) for line in words.plain.split("\n"))


def test_random_unicode_is_harmless_in_a_node_of_the_chain(sessions_folder):
    through_chain([*tokens(300), NASTY])


def test_random_unicode_is_harmless_in_a_cell_of_the_command_line():
    for each in [*tokens(3000), NASTY]:
        assert harmless(cell("token", each))
        assert harmless(cell("tokens", [each, each]))
        assert harmless(cell("name", each))


@pytest.mark.real_model
async def test_the_whole_vocabulary_of_smollm2_is_harmless_everywhere(sessions_folder):
    from transformers import AutoTokenizer

    from workbench.models import resolve

    tokenizer = AutoTokenizer.from_pretrained(resolve("smollm2-135m").location)
    vocabulary = [token_text(tokenizer, each) for each in range(len(tokenizer))]
    assert len(vocabulary) == 49_152
    shown = [visible(each, quote=False) for each in vocabulary]
    assert all(harmless(each) for each in shown)
    through_lines(end_columns("promotes"), vocabulary, ["token"], [])
    through_lines(COLUMNS["cna"], vocabulary, [], ["tokens"])
    through_lens(valid(vocabulary))
    through_chain(vocabulary[::50])
    await through_strip(vocabulary)
