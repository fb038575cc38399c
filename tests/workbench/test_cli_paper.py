"""`workbench paper`: tables measured, gone on with, written and replayed."""

from __future__ import annotations

import json

import polars as pl
import pytest

import analysis.methods.heads
from analysis.paper.registry import TABLES
from analysis.paper.scale import Scale
from sessions import Session, list_sessions

FEW = ["--cases", "3", "--shots", "1"]
CELLS = [
    "name",
    "row",
    "column",
    "paper",
    "measured",
    "low",
    "high",
    "control",
    "control_low",
    "control_high",
    "cases",
    "paper_text",
    "text",
]


def test_the_list_names_every_table_and_needs_no_model(workbench):
    listed = workbench("paper", "--list", "--json").document
    assert [row["table"] for row in listed] == list(TABLES)
    shown = workbench("paper", "--list")
    assert shown.code == 0
    assert shown.err == ""
    assert all(name in shown.out for name in TABLES)
    assert list_sessions() == []


def test_a_table_stands_beside_the_papers_numbers(on_tiny):
    outcome = on_tiny("paper", "--table", "T27", *FEW)
    for words in ("T27 · top five heads of ÷", "35.6 L14H19", "one head is first for ÷"):
        assert words in outcome.out
    assert "claims: 0 held, 0 failed, 1 undecided" in outcome.err
    document = on_tiny("paper", "--table", "T27,T24", *FEW, "--json").document
    assert list(document) == ["model", "tables"]
    first = document["tables"][0]
    assert first["step"]["table"] == "T27"
    assert list(first["rows"][0]) == CELLS
    assert first["rows"][1]["paper"] == 35.6
    assert first["rows"][1]["cases"] == 3
    assert first["baseline"]["verdict"] == "undecided"


def test_the_same_command_goes_on_where_it_was_interrupted(on_tiny, workbench, tiny, monkeypatch):
    command = ["paper", "--table", "T24", *FEW, "--json"]
    sweep, calls = analysis.methods.heads.sweep, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sweep(*arguments)

    monkeypatch.setattr(analysis.methods.heads, "sweep", interrupted)
    stopped = workbench(*command, *tiny)
    assert stopped.code == 130
    session = Session.open("paper-tiny-small")
    # Of the step that was stopped before its first rows nothing is left.
    assert [each.info.state for each in session.steps] == ["done"]
    on_disk = session.step(1).rows()

    again = on_tiny(*command)
    session = Session.open("paper-tiny-small")
    assert [each.step.kind for each in session.steps] == ["heads", "heads", "heads", "table"]
    assert {each.info.state for each in session.steps} == {"done"}
    assert session.step(1).rows().equals(on_disk)
    swept = len(calls)
    assert on_tiny(*command).out == again.out
    assert len(calls) == swept


def test_tables_share_what_they_need(on_tiny):
    on_tiny("paper", "--table", "T2,T24,T27", *FEW, "--json")
    kinds = [each.step.kind for each in Session.open("paper-tiny-small").steps]
    assert kinds.count("heads") == 12
    assert kinds.count("table") == 3


def test_tables_are_written_as_a_page_and_as_files(on_tiny, tmp_path):
    def written(ending):
        path = tmp_path / f"tables.{ending}"
        on_tiny("paper", "--table", "T24,T27", *FEW, "--out", path, "--json")
        return path

    page = written("md").read_text()
    assert page.count("\n## ") == 1
    assert page.startswith("## T24 · ")
    assert "| 1D÷ | 1st | 35.6 L14H19 |" in page
    assert "**? undecided**" in page
    rows = pl.read_parquet(written("parquet"))
    assert rows.columns == ["table", "verdict", *CELLS]
    assert rows["table"].unique().sort().to_list() == ["T24", "T27"]
    assert pl.read_csv(written("csv")).height == rows.height
    assert [each["step"]["table"] for each in json.loads(written("json").read_text())] == [
        "T24",
        "T27",
    ]


def test_own_cases_are_measured_in_a_session_of_their_own(on_tiny, tmp_path):
    file = tmp_path / "mine.jsonl"
    cases = [{"prompt": f"{a} and 1 ", "answer": "x", "group": "and"} for a in range(4)]
    file.write_text("".join(json.dumps(case) + "\n" for case in cases))
    document = on_tiny("paper", "--table", "T1,T2", "--task", file, "--json").document
    rows = document["tables"][0]["rows"]
    assert {row["row"] for row in rows} == {"all", "and"}
    assert rows[0]["cases"] == 4
    assert [each.name for each in list_sessions()] == ["paper-tiny-small-mine"]


def test_the_seed_and_the_scale_are_recorded(on_tiny):
    document = on_tiny(
        "paper", "--table", "T27", *FEW, "--seed", "5", "--session", "mine", "--json"
    ).document
    scale = Scale.model_validate(document["tables"][0]["step"]["scale"])
    assert scale == Scale(seed=5, shots=1).limited(3)
    assert Session.open("mine").info.seed == 5


def file_of(tmp_path, **case) -> str:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(case) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("case", "table", "line"),
    [
        ({"prompt": "1 + 1 = "}, "T1", "case 1 of mine has no answer"),
        (
            {"prompt": "1 + 1 = ", "answer": "2", "group": "+"},
            "T15",
            "the operation / is not in mine; its groups are +",
        ),
        (
            {"prompt": "1 + 1 = ", "answer": "2", "group": "+"},
            "T26",
            "the operation * is not in mine; its groups are +",
        ),
    ],
)
def test_a_task_that_does_not_suit_is_refused_before_anything_is_loaded(
    workbench, tmp_path, case, table, line
):
    outcome = workbench("paper", "--table", table, "--task", file_of(tmp_path, **case))
    assert outcome.code == 2
    where = "" if "has no answer" in line else f"{table}: "
    assert outcome.err.startswith(f"workbench: {where}{line}")
    assert len(outcome.err.splitlines()) == 1


def test_of_all_tables_those_that_own_cases_suit_are_measured(on_tiny, tmp_path, monkeypatch):
    from analysis.paper import registry

    few = {name: registry.TABLES[name] for name in ("T1", "T15", "T24")}
    monkeypatch.setattr(registry, "TABLES", few)
    file = file_of(tmp_path, prompt="1 + 1 = ", answer="2", group="+")
    outcome = on_tiny("paper", "--task", file, "--json")
    tables = [each["step"]["table"] for each in outcome.document["tables"]]
    assert tables == ["T1", "T24"]
    assert "left out: T15: the operation / is not in mine" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--table", "T99"], "no table 'T99'; there are T1, T2"),
        (["--scale", "huge"], "--scale huge: choose small or full"),
        (["--task", "nowhere.jsonl"], "cannot read task file nowhere.jsonl"),
        (["--out", "tables.txt"], "--out tables.txt: end it in .md, .parquet, .csv, .json"),
    ],
)
def test_bad_options_are_one_line(workbench, arguments, line):
    outcome = workbench("paper", *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"workbench: {line}")
    assert len(outcome.err.splitlines()) == 1


def test_a_table_is_checked_again_from_its_steps(on_tiny, workbench, tiny):
    on_tiny("paper", "--table", "T27", *FEW, "--json")
    outcome = workbench("replay", "paper-tiny-small", "--check", "--json", *tiny)
    assert outcome.code == 0, outcome.err
    assert [row["agrees"] for row in outcome.document] == [True] * 4
