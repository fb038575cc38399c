"""Somebody's session on the command line: what it holds is text, in pages and on the terminal."""

from __future__ import annotations

import base64
import json
from html import unescape
from xml.etree import ElementTree

import polars as pl
import pytest
from hostile import NASTY, cells, harmless, tokens
from replays import own_example

from screens.text import tab_separated
from sessions import Session
from sessions.parts import write_frame
from workbench.cli import output

KINDS = ("001-heads", "002-cna", "003-project")


@pytest.fixture
def session(sessions_folder):
    """The example with nasty prompts, tokens, notes and answers."""
    own = own_example("nasty")
    for name in KINDS:
        file = own / name / "step.json"
        info = json.loads(file.read_text("utf-8"))
        info["note"] = info["error"] = NASTY
        params = info["params"]
        for prompt in [params.get("prompt"), *params.get("prompts", {}).get("prompts", ())]:
            if isinstance(prompt, dict):
                prompt |= {"prompt": NASTY, "answer": NASTY, "group": NASTY}
        if "prompts" in params:
            params["prompts"]["name"] = NASTY
        if "answer" in info["baseline"]:
            info["baseline"]["answer"] = NASTY
        file.write_text(json.dumps(info), "utf-8")
        rows = Session.open("nasty").step(name).rows()
        texts = {pl.String: NASTY, pl.List(pl.String): [NASTY, NASTY]}
        rows = rows.with_columns(
            pl.Series(column, [texts[dtype]] * rows.height, dtype)
            for column, dtype in rows.schema.items()
            if dtype in texts and column not in ("name", "end")
        )
        for part in (own / name).glob("part-*.parquet"):
            part.unlink()
        write_frame(own / name / "part-00000.parquet", rows)
    return "nasty"


@pytest.mark.parametrize(
    "command",
    [
        ("sessions", "ls"),
        ("sessions", "show", "nasty"),
        ("sessions", "show", "nasty", "--step", "1"),
        ("sessions", "show", "nasty", "--step", "2"),
        ("sessions", "show", "nasty", "--step", "3"),
        ("sessions", "diff", "nasty", "example:addition"),
    ],
)
def test_nothing_of_it_is_obeyed_by_a_terminal(command, session, workbench):
    outcome = workbench(*command)
    assert outcome.code in (0, 1)
    for line in (outcome.out + outcome.err).split("\n"):
        assert harmless(line), ascii(line)
    assert "\x1b" not in outcome.out
    assert outcome.out.strip()


def test_its_report_is_a_page_with_no_markup_of_its_own(session, workbench, tmp_path):
    page = tmp_path / "page.md"
    outcome = workbench("sessions", "export", session, page)
    assert outcome.code == 0, outcome.err
    pictures = [*tmp_path.rglob("*.svg")]
    assert len(pictures) >= 3
    for each in pictures:
        ElementTree.parse(each)  # a control character would not be XML
        drawn = unescape(each.read_text("utf-8")).replace("\xa0", " ")
        assert all(map(harmless, drawn.split("\n")))
    text = page.read_text("utf-8")
    assert all(harmless(line) for line in text.split("\n"))
    assert "bold red" in text
    assert "[link" not in text.replace("\\[link", "")


def test_a_table_on_the_terminal_keeps_its_columns(capsys):
    texts = [each.encode("utf-8", "replace").decode() for each in [NASTY, *tokens(300)]]
    output.print_table(
        pl.DataFrame(
            {"rank": range(len(texts)), "token": texts, "tokens": [[t, t] for t in texts]}
        ),
        "tokens",
        ["rank", "token", "tokens"],
        limit=None,
        elastic=("token", "tokens"),
    )
    lines = [each for each in capsys.readouterr().out.split("\n") if each.strip()]
    assert all(map(harmless, lines))
    rows = [each for each in lines if each.split()[0].isdecimal()]
    assert len(rows) == len(texts)
    assert len({cells(each) for each in rows}) == 1


def test_what_is_copied_holds_nothing_that_a_shell_or_terminal_obeys():
    rows = pl.DataFrame({"name": [NASTY], "token": ["\x1b[31m\r"], "tokens": [[NASTY, "\n"]]})
    copied = tab_separated(rows)
    assert copied.count("\n") == 2
    assert all(harmless(cell) for cell in copied.replace("\n", "\t").split("\t"))
    assert base64.b64encode(copied.encode()).isascii()


def test_what_is_refused_is_quoted_and_not_obeyed(refused):
    line = refused("sessions", "show", f"no{NASTY.replace(chr(0), '')}")
    assert harmless(line)
