"""The command line as a process of its own: exit codes, streams, Ctrl-C, and going on after it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from command_lines import PROGRAM
from polars.testing import assert_frame_equal
from tiny_folder import HEADS_IN_ALL
from waiting import PATIENCE, until_seen

from sessions import Session, list_sessions


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A command of the workbench, run to its end."""
    command = [*PROGRAM, *(str(each) for each in arguments)]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def long_task(tmp_path_factory):
    """Cases enough to keep a sweep of the tiny model busy for a while, each unlike the others."""
    file = tmp_path_factory.mktemp("tasks") / "long.jsonl"
    cases = [{"prompt": f"{number:04d} " * 12, "answer": str(number % 10)} for number in range(120)]
    file.write_text("\n".join(json.dumps(case) for case in cases))
    return file


def test_a_command_is_done_in_a_process_of_its_own(tiny_folder):
    done = run("heads", "--task", "add1", "--json", "--model", tiny_folder)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["rows"]) == HEADS_IN_ALL
    assert "Traceback" not in done.stderr


def test_bad_usage_ends_with_2_and_one_line():
    done = run("heads", "--task", "add9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("workbench: unknown task")
    assert done.stderr.count("\n") == 1


def test_the_terminal_ui_and_replay_refuse_what_is_no_terminal():
    for arguments in ([], ["replay", "example:addition"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("workbench: the terminal UI needs a terminal")
        assert done.stderr.count("\n") == 1


STILL_AT_WORK = """
import atexit, threading, time
from workbench.cli import main
atexit.register(print, "waited for")
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
main()
"""


def test_a_thread_still_at_work_is_neither_waited_for_nor_ended_by_python():
    program = [PROGRAM[0], "-c", STILL_AT_WORK]
    for arguments, code in ((["data", "list"], 0), (["heads", "--task", "add9"], 2)):
        done = subprocess.run(
            [*program, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == code
        assert "waited for" not in done.stdout
        assert (done.stdout == "") == bool(code) == bool(done.stderr)


@pytest.mark.parametrize("read", [0, 1])
@pytest.mark.parametrize("step", [[], ["--step", "2"]], ids=["short", "long"])
def test_a_reader_that_has_seen_enough_is_no_error(step, read):
    process = subprocess.Popen(
        [*PROGRAM, "sessions", "show", "example:addition", *step, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(read)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE) == 0


def test_a_full_disk_is_said_in_one_line(tiny_folder, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    out = tmp_path / "rows.csv"
    out.symlink_to("/dev/full")
    done = run("project", "L0N0", "--out", out, "--json", "--model", tiny_folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("workbench: cannot write")
    assert "Traceback" not in done.stderr


def interrupted(command: list[str | Path], sessions: Path) -> subprocess.CompletedProcess[str]:
    """A command that gets Ctrl-C once its first rows are on disk."""
    process = subprocess.Popen(
        [*PROGRAM, *(str(each) for each in command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_seen(process, lambda: list(sessions.glob("*/*/part-*.parquet")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def test_ctrl_c_keeps_what_is_finished_and_the_command_it_prints_goes_on(
    tiny_folder, long_task, sessions_folder, workbench
):
    sweep = ["heads", "--task", long_task, "--model", tiny_folder, "--json"]
    done = interrupted(sweep, sessions_folder)
    assert done.returncode == 130
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *_, kept, line = done.stderr.splitlines()

    (summary,) = list_sessions()
    assert summary.states == ("stopped",)
    finished = Session.open(summary.name).step(1).rows()
    assert 0 < finished.height < HEADS_IN_ALL
    assert kept == f"interrupted: {finished.height} of {HEADS_IN_ALL} rows are kept"

    printed = shlex.split(line.removeprefix("go on with: "))
    assert printed[:3] == ["workbench", "resume", summary.name]
    resumed = workbench(*printed[1:], "--json")
    assert resumed.code == 0, resumed.err
    assert Session.open(summary.name).step(1).info.state == "done"

    whole = workbench(*sweep).document
    assert resumed.document["rows"] == whole["rows"]
    assert resumed.document["baseline"] == whole["baseline"]
    assert_frame_equal(Session.open(summary.name).step(1).rows().head(finished.height), finished)


def test_several_unfinished_steps_are_resumed_one_after_the_other(on_tiny, workbench, tiny_folder):
    from analysis.steps import HeadsStep, NeuronsStep
    from sessions import Rows, record
    from workbench.runner import open_model
    from workbench.settings import load_settings

    on_tiny("project", "L0N0", "--session", "mine", "--json")
    settings = load_settings(model=str(tiny_folder), device="cpu")
    model = open_model(settings, lambda text: None)
    from analysis.tasks.standard import task

    prompts = task("add1", shots=1)
    with Session.open("mine", writable=True) as session:
        for step in (HeadsStep(prompts=prompts), NeuronsStep(prompt=prompts.prompts[0])):
            updates = record(session, step, model)
            next(each for each in updates if isinstance(each, Rows))
            updates.close()
    assert [each.info.state for each in Session.open("mine").steps] == [
        "done",
        "stopped",
        "stopped",
    ]
    outcome = workbench("resume", "mine", "--model", tiny_folder)
    assert outcome.code == 0, outcome.err
    assert [each.info.state for each in Session.open("mine").steps] == ["done"] * 3
