"""What a screen shows is written to a file from inside the program."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hands import Hands, hands
from key_effects import another, opened
from made_up import gains, paced
from polars.testing import assert_frame_equal
from textual.widgets import Input

from analysis.tasks.task_files import read_task_file
from screens.messages import CopyRequested
from workbench.sharing.rows import with_json_lists


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """One's own folder, where the program is started."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def field(user: Hands, name: str = "file") -> Input:
    return next(each for each in user.screen.query(Input) if each.name == name)


async def written(user: Hands, file: Path) -> str:
    """Answer the form with a file, and wait until its path is copied; gives what was said."""
    told = len(user.app.told)
    await user.type(str(file))
    await user.press("enter")
    await user.until(lambda: len(user.app.told) > told)
    return user.app.told[told]


async def test_every_screen_writes_what_it_shows(home, sessions_folder):
    async with hands() as user:
        for screen in ("heads", "neurons", "tokens", "chain", "change", "sessions", "paper"):
            for replaying in (False, True) if screen == "neurons" else (True,):
                await user.begin(screen, replaying=replaying)
                front = user.screen
                await user.press("E")
                assert "Export " in user.text(".question"), screen
                file = home / f"{screen}.parquet"
                assert f"in ~/{screen}.parquet" in await written(user, file)
                rows = pl.read_parquet(file)
                seen = front.rows_in_sight(False)
                moving = {"age"} & {*rows.columns}  # of a session
                assert_frame_equal(rows.drop(moving), seen.drop(moving))
                result = front.result
                if result is not None and result.step.key in rows.columns:
                    assert {*result.rows[result.step.key]} <= {*rows[result.step.key]}, screen
                file.unlink()


async def test_the_filtered_rows_or_all_in_each_format(home, sessions_folder):
    async with hands() as user:
        await user.begin("neurons", replaying=True)
        result, table = user.screen.result, user.screen.table
        await user.press("slash", *"l24", "enter", "E")
        assert f"Export {table.shown:,} of {table.total:,} rows" in user.text(".question")
        name = f"addition-{result.name}"
        assert field(user).value == f"~/{name}.csv"
        assert field(user, "which rows").value == "filtered"
        said = await written(user, Path("~/some.csv"))
        assert f"the path of {table.shown:,} rows in ~/some.csv" in said
        copied = [each.text for each in user.messages if isinstance(each, CopyRequested)]
        assert copied == [str(home / "some.csv")]
        filtered = table.in_order(True)
        assert 0 < filtered.height < table.total
        assert (home / "some.csv").read_text() == with_json_lists(filtered).write_csv()
        # The next one goes beside it, in the same format, and everything is written on request.
        await user.press("E")
        assert field(user).value == f"~/{name}.csv"
        await user.type("some.json")
        await user.press("tab")
        await user.type("all")
        await user.press("enter")
        await user.until(lambda: (home / "some.json").exists())
        document = json.loads((home / "some.json").read_text())
        assert document["rows"] == table.in_order(False).to_dicts()
        assert document["step"]["kind"] == result.step.kind
        assert document["baseline"] == result.baseline
        await user.press("E")
        assert field(user).value == f"~/{name}.json"
        await written(user, home / "some.md")
        page = (home / "some.md").read_text().splitlines()
        assert page[0].startswith("# ")
        assert len(page) == 4 + filtered.height
        assert page[4].startswith(f"| {filtered['name'][0]} | ")


async def test_two_runs_are_written_side_by_side_and_a_table_without_its_bars(
    home, sessions_folder
):
    async with hands() as user:
        await user.begin("heads", replaying=True, given=another("heads"))
        await user.press("w", "E")
        await written(user, home / "two.json")
        document = json.loads((home / "two.json").read_text())
        assert [each["step"]["kind"] for each in document["of"]] == ["heads", "heads"]
        assert "difference" in document["rows"][0]
        for made, kept in ((gains, False), (paced, True)):
            await user.begin("result", replaying=True, given=opened(made))
            if kept:
                await user.press("slash", *"1", "enter")
            await user.press("E")
            file = home / f"{made.__name__}.csv"
            await written(user, file)
            rows = pl.read_csv(file)
            assert not [each for each in rows.columns if each.endswith("_bar")]
            assert (rows.height < user.result.rows.height) == kept


async def test_cases_are_written_as_a_file_of_cases(home, sessions_folder):
    async with hands() as user:
        await user.begin("prompts", replaying=True)
        cases = user.workspace.prompts.prompts
        for ending in ("csv", "json", "parquet"):
            await user.press("E")
            file = home / f"cases.{ending}"
            await written(user, file)
            if ending != "json":
                assert read_task_file(file).prompts == cases
            else:
                assert json.loads(file.read_text())["rows"][0]["prompt"] == cases[0].prompt


async def test_what_cannot_be_written_is_said_in_the_form(home, sessions_folder):
    (home / "there.csv").write_text("mine")
    async with hands() as user:
        await user.begin("sessions", replaying=False)
        await user.press("E")
        for typed, words in (
            ("", "name one, as rows.csv"),
            ("~", "is no file; name one"),
            ("rows.txt", "rows.txt: end it in .csv, .parquet, .json, .md"),
            ("~/nowhere/rows.csv", f"there is no folder {home}/nowhere to write rows.csv in"),
            ("there.csv", "there.csv is there already; enter again replaces it"),
        ):
            await user.type(typed)
            await user.press("enter")
            assert user.here == "Form"
            assert words in " ".join(user.text("Problem").split())
            assert field(user).value == typed
        assert (home / "there.csv").read_text() == "mine"
        await user.press("enter")
        await user.until(lambda: (home / "there.csv").read_text() != "mine")
        user.workspace.readonly = True
        await user.press("E")
        await user.type("there.csv")
        await user.press("enter", "enter")
        assert "the workbench is read-only" in user.text("Problem")
        await user.press("escape")
        await user.begin("tokens", replaying=True, given=lambda w: w.results.clear())
        await user.press("E")
        assert user.app.told[-1] == "There is nothing to export here yet."
