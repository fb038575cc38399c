"""`workbench sessions export`: rows without loss, reports without markup."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from handed_on import HOSTILE, process
from markdown_it import MarkdownIt
from polars.testing import assert_frame_equal
from waiting import until

from analysis.columns import Column, schema
from screens import markdown
from sessions import Session
from workbench.sharing.rows import with_json_lists

# Destinations

REFUSED = {
    "unknown ending": (["mine", "rows.xlsx"], "rows.xlsx: end it in .csv, .parquet, .json, .md"),
    "unknown format": (["mine", "out", "--format", "html"], "--format html: choose csv, parquet"),
    "another format": (["mine", "a.csv", "--format", "json"], "a.csv is the name of a csv"),
    "a script's folder": (["mine", "out", "--format", "script"], "name one that ends in .py"),
    "no folder": (["mine", "no/a.csv", "--step", "1"], "there is no folder"),
    "several steps": (["mine", "a.csv"], "a.csv holds the rows of one step; choose it with --step"),
    "two steps": (["mine", "a.json", "--step", "1,2"], "holds the rows of one step"),
    "no such step": (["mine", "a.csv", "--step", "9"], "session mine has no step 9"),
    "a part of a bundle": (["mine", "a.zip", "--step", "1"], "a bundle holds the whole session"),
    "no such session": (["yours", "a.csv"], "no session called yours"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_is_said_and_nothing_written(
    refused, recorded, tmp_path, monkeypatch, arguments, reason
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert reason in refused("sessions", "export", *arguments)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_session_without_steps_is_not_exported(workbench, tiny_model, tmp_path):
    Session.create("empty", tiny_model.info, seed=0).close()
    outcome = workbench("sessions", "export", "empty", tmp_path / "a.py")
    assert outcome.code == 2
    assert "session empty has no steps" in outcome.err


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.json", "a.py", "a.zip", "a.md", "out"])
def test_nothing_is_written_over_unless_it_is_asked_for(workbench, recorded, tmp_path, name):
    export = ["sessions", "export", "mine", tmp_path / name, "--no-pictures"]
    export += ["--step", "5"] if name != "a.zip" else []
    assert workbench(*export).code == 0
    files = {each: each.read_bytes() for each in tmp_path.rglob(f"{name}*") if each.is_file()}
    files |= {each: each.read_bytes() for each in (tmp_path / "out").rglob("*")}
    again = workbench(*export)
    assert again.code == 2
    assert "is there already; --force replaces it" in again.err
    assert {each: each.read_bytes() for each in files} == files
    (page := next(iter(files))).write_bytes(b"earlier")
    assert workbench(*export, "--force").code == 0
    assert page.read_bytes() != b"earlier"


def test_a_folder_with_other_things_is_left_alone_even_by_force(workbench, recorded, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    for extra in ([], ["--format", "csv"]):
        outcome = workbench("sessions", "export", "mine", out, "--force", *extra)
        assert outcome.code == 2
        assert "holds thesis.tex, which no export wrote" in outcome.err
    beside = tmp_path / "a-pictures"
    beside.mkdir()
    (beside / "holiday.jpg").write_text("sun")
    outcome = workbench("sessions", "export", "mine", tmp_path / "a.md", "--force")
    assert outcome.code == 2
    assert [each.name for each in out.iterdir()] == ["thesis.tex"]
    assert [each.name for each in beside.iterdir()] == ["holiday.jpg"]


def test_a_link_is_not_followed(workbench, recorded, tmp_path):
    (tmp_path / "real.csv").write_text("mine")
    (tmp_path / "a.csv").symlink_to(tmp_path / "real.csv")
    outcome = workbench("sessions", "export", "mine", tmp_path / "a.csv", "--step", "1", "--force")
    assert outcome.code == 2
    assert (tmp_path / "real.csv").read_text() == "mine"


def test_an_empty_folder_may_be_filled_and_the_files_are_named(workbench, recorded, tmp_path):
    (tmp_path / "out").mkdir()
    command = ["sessions", "export", "mine", tmp_path / "out", "--format", "parquet", "--json"]
    told = workbench(*command).document
    assert (told["session"], told["format"]) == ("mine", "parquet")
    assert [Path(each) for each in told["files"]] == [
        tmp_path / "out" / f"{step.id}.parquet" for step in recorded.steps
    ]
    assert sorted((tmp_path / "out").iterdir()) == sorted(Path(each) for each in told["files"])


def test_a_bundle_is_one_that_can_be_unpacked(workbench, recorded, tmp_path):
    from sessions.bundle import unpack

    assert workbench("sessions", "export", "mine", tmp_path / "a.zip").code == 0
    there = unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    assert [each.step for each in there.steps] == [each.step for each in recorded.steps]


# Rows


def back(path: Path, columns: tuple[Column, ...]) -> pl.DataFrame:
    """Rows read from a CSV file, as documented: lists are JSON."""
    wanted = schema(columns)
    texts = {n: pl.String if isinstance(d, pl.List) else d for n, d in wanted.items()}
    rows = pl.read_csv(path, schema=texts)
    lists = [
        pl.Series(n, [json.loads(cell) for cell in rows[n].to_list()], dtype=d)
        for n, d in wanted.items()
        if isinstance(d, pl.List)
    ]
    return rows.with_columns(lists)


def test_rows_come_back_from_every_file_as_they_were_recorded(workbench, recorded, tmp_path):
    for step in recorded.steps:
        rows = step.step.ranked(step.rows())
        assert rows.height
        for ending in ("csv", "parquet", "json"):
            path = tmp_path / f"{step.id}.{ending}"
            assert workbench("sessions", "export", "mine", path, "--step", step.id).code == 0
        assert_frame_equal(pl.read_parquet(tmp_path / f"{step.id}.parquet"), rows)
        assert_frame_equal(back(tmp_path / f"{step.id}.csv", step.step.columns), rows)
        document = json.loads((tmp_path / f"{step.id}.json").read_text("utf-8"))
        assert_frame_equal(pl.DataFrame(document["rows"], schema=rows.schema), rows)
        assert document["step"] == {
            **step.step.model_dump(mode="json"),
            "session": "mine",
            "id": step.id,
            "state": "done",
        }
        assert document["baseline"] == step.info.baseline


def test_lists_of_hostile_text_and_of_no_numbers_survive_csv(tmp_path):
    rows = pl.DataFrame(
        {
            "tokens": [[HOSTILE, ""], [], None],
            "values": [[0.1, float("inf")], [float("nan")], [None]],
            "text": [HOSTILE, None, ""],
        },
        schema={"tokens": pl.List(pl.String), "values": pl.List(pl.Float32), "text": pl.String},
    )
    with_json_lists(rows).write_csv(tmp_path / "a.csv")
    columns = tuple(Column(name, dtype, "") for name, dtype in rows.schema.items())
    assert_frame_equal(back(tmp_path / "a.csv", columns), rows)


# Reports


def rendered(page: str) -> str:
    """The page as HTML, by another program."""
    return (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .enable("strikethrough")
        .render(page)
    )


def test_a_report_says_what_was_asked_and_what_came_of_it(workbench, recorded, tmp_path):
    told = workbench("sessions", "export", "mine", tmp_path / "out", "--json").document
    page = (tmp_path / "out" / "report.md").read_text("utf-8")
    with_screens = [each for each in recorded.steps if each.step.kind != "ablate"]
    pictures = [tmp_path / "out" / "pictures" / f"{each.id}.svg" for each in with_screens]
    assert [Path(each) for each in told["files"]] == [tmp_path / "out" / "report.md", *pictures]
    assert re.findall(r"!\[.*?\]\((.*?)\)", page) == [f"pictures/{each.name}" for each in pictures]
    for words in (
        "Model: tiny",
        "LlamaForCausalLM, 3 layers, 4 heads and 48 FFN neurons a layer",
        "Computed in: float32 on cpu",
        "- prompts: add1 · 36 prompts",
        "- changes: L0H1,L2N3 × 0.5",
        "- text: sample (",
        "- state: done, 12 rows in",
        "Baseline:\n\n- accuracy: ",
        "Summary: concept tokens",
        "| name | layer | head | accuracy | logprob | prob |\n|---|---:|---:|---:|---:|---:|\n| L",
    ):
        assert words in page, words
    worst = recorded.step(1).rows().sort("logprob").row(0, named=True)
    assert (
        f"| {worst['name']} | {worst['layer']} | {worst['head']} | {worst['accuracy']:.3f} |"
        in page
    )


def test_texts_of_a_session_are_never_markup_in_its_report(workbench, recorded, tmp_path):
    assert workbench("sessions", "export", "mine", tmp_path / "a.md", "--no-pictures").code == 0
    page = (tmp_path / "a.md").read_text("utf-8")
    html = rendered(page)
    tags = {each.lower() for each in re.findall(r"<([a-zA-Z0-9]+)", html)}
    assert tags <= {"h1", "h2", "ul", "li", "p", "br", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.count("<h1>") == 1
    assert html.count("<h2>") == len(recorded.steps)
    visible = HOSTILE.split("\n")[0].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert visible.replace('"', "&quot;") in html
    assert "\x1b" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize("data", [*HOSTILE.split(), HOSTILE, "a|b\\|c\\\\|d", "\\", "`` ` ``", "|"])
def test_any_text_in_a_cell_stays_that_text(data):
    html = rendered(markdown.table(("one", "two"), [(markdown.text(data), "end")], (False, False)))
    cells = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
    assert len(cells) == 2
    assert cells[1] == "end"
    assert "<" not in cells[0]


def test_the_pictures_are_of_the_steps_screens_and_fetch_nothing(workbench, recorded, tmp_path):
    export = ["sessions", "export", "mine", tmp_path / "a.md", "--step", "2,5"]
    assert workbench(*export).code == 0
    pictures = {each.stem: each.read_text("utf-8") for each in (tmp_path / "a-pictures").iterdir()}
    for text in pictures.values():
        assert not re.search(r"(?:href|src)=|url\((?!#)|@import|@font-face|<(?!/?SVG)[A-Z]", text)
        tags = set(re.findall(r"<([a-zA-Z]+)", text))
        assert tags == {"svg", "style", "defs", "clipPath", "rect", "circle", "g", "text"}
    assert "L0N7" in pictures["005-project"].replace("&#160;", " ")
    assert "L1H2" in pictures["002-cna"].replace("&#160;", " ")


def test_a_screen_that_fails_is_said_in_one_line(workbench, recorded, tmp_path, monkeypatch):
    from screens.neurons import NeuronsScreen

    def broken(self):
        raise RuntimeError("what nobody\nforesaw")

    monkeypatch.setattr(NeuronsScreen, "compose_body", broken)
    outcome = workbench("sessions", "export", "mine", tmp_path / "out", "--step", "1,2")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "the screen of 002-cna cannot be drawn (RuntimeError: what nobody" in outcome.err
    assert "--no-pictures leaves them out" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_export_that_is_stopped_leaves_nothing(tmp_path, number):
    program = [sys.executable, "-c", "from workbench.cli import main; main()"]
    command = [*program, "sessions", "export", "example:paper", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(
            lambda: list(tmp_path.glob(".new-*-out/pictures/*.svg")) or process.poll() is not None
        )
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert not list(tmp_path.glob("*out*"))


WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "peft", "accelerate", "bitsandbytes"):
    sys.modules[name] = None
from workbench.cli import run
for line in sys.argv[1:]:
    assert run(["sessions", "export", *line.split()]) == 0
"""


def test_an_example_is_exported_where_no_model_could_run(tmp_path):
    lines = (
        "example:addition sums.py",
        "example:paper out --step 1,18,21,22,28",
        "example:paper rows --format csv",
        "example:paper all.zip",
        "example:paper one.json --step 28",
    )
    done = process(tmp_path, sys.executable, "-c", WITHOUT_TORCH, *lines)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    written = done.stderr.splitlines()
    for line, said in zip(lines, written, strict=True):
        assert said.startswith(f"written: {tmp_path / line.split()[1]}")
