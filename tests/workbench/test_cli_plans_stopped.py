"""Plans in processes of their own, stopped and gone on with."""

from __future__ import annotations

import shlex
import signal
import subprocess

import pytest
from command_lines import PROGRAM
from polars.testing import assert_frame_equal
from tiny_folder import HEADS_IN_ALL
from waiting import PATIENCE, until_seen

from sessions import Session
from workbench.terminal import stopped_in_order

READ = 'kind = "project"\nsource = "L0N7"\ntop = 3'


@pytest.fixture(scope="module")
def long_sweep(tmp_path_factory):
    """A step that keeps the tiny model busy for a while."""
    file = tmp_path_factory.mktemp("tasks") / "long.jsonl"
    lines = [f'{{"prompt": "{number:04d} {"7 " * 30}", "answer": "1"}}' for number in range(120)]
    file.write_text("\n".join(lines))
    return f'kind = "heads"\ntask = "{file}"'


def begun(path, tiny, sessions_folder, rows=1):
    """A plan in a process of its own whose second step has so many rows on disk."""
    process = subprocess.Popen(
        [*PROGRAM, "run", str(path), *tiny],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_seen(
        process,
        lambda: (
            list(sessions_folder.glob("night/002-*/part-*.parquet"))
            and Session.open("night").step(2).done_rows >= rows
        ),
    )
    return process


def test_a_plan_that_is_stopped_and_killed_goes_on_where_it_was(
    plan, workbench, tiny, sessions_folder, long_sweep
):
    path = plan(READ, long_sweep, 'kind = "project"\nsource = "L1N7"')
    finished = None
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = 0 if finished is None else finished.height
        process = begun(path, tiny, sessions_folder, rows=before + 1)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err
        stopped = Session.open("night").steps
        assert [each.step.kind for each in stopped] == ["project", "heads"]
        kept, finished = finished, stopped[1].rows()
        assert before < finished.height < HEADS_IN_ALL
        if kept is not None:
            assert_frame_equal(finished.head(kept.height), kept)
        if number == signal.SIGTERM:
            assert (process.returncode, out) == (130, "")
            *_, said, line = err.splitlines()
            assert said == f"interrupted: {finished.height} of {HEADS_IN_ALL} rows are kept"
            words = shlex.split(line.removeprefix("go on with: "))
            assert words == ["workbench", "run", str(path), *tiny]

    again = workbench("run", path, *tiny, "--json")
    assert again.code == 0, again.err
    assert [each["state"] for each in again.document["steps"]] == ["there already", "done", "done"]
    rows = Session.open("night").step(2).rows()
    assert_frame_equal(rows.head(finished.height), finished)
    whole = workbench("run", path, *tiny, "--session", "whole")
    assert whole.code == 0
    assert_frame_equal(rows.sort("name"), Session.open("whole").step(2).rows().sort("name"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_each_signal_that_asks_to_stop_interrupts(number):
    with pytest.raises(KeyboardInterrupt), stopped_in_order():
        signal.raise_signal(number)


def test_what_asks_to_stop_interrupts_once_and_leaves_what_is_ignored():
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), stopped_in_order():
            signal.raise_signal(signal.SIGHUP)  # as under nohup
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)  # tidying up is not disturbed
        assert signal.getsignal(signal.SIGTERM) == before
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
