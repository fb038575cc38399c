"""Copied text goes where it can be pasted from, and what is said of it is what was done."""

from __future__ import annotations

import os

import pytest
from piloting import driving
from replays import replaying


@pytest.fixture
def tmux(tmp_path, monkeypatch):
    """A tmux around the program that does what a test says with a text."""

    def does(script: str) -> None:
        program = tmp_path / "tmux"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setenv("TMUX", "a,1,0")

    return does


async def test_in_tmux_it_goes_into_its_buffer_also_where_it_knows_no_clipboard(tmux, tmp_path):
    tmux(f'[ "$2" = -w ] && exit 1; echo "$@" > {tmp_path}/asked; cat > {tmp_path}/buffer')
    async with driving(replaying()) as user:
        await user.press("2", "ctrl+y")
        await user.until(lambda: user.notices)
        assert user.notices == ["Copied L20H8 to tmux's buffer."]
    assert (tmp_path / "asked").read_text() == "load-buffer -\n"
    assert (tmp_path / "buffer").read_text() == "L20H8"


async def test_a_tmux_that_hangs_holds_nothing_up_and_the_terminal_is_sent_it(tmux, monkeypatch):
    monkeypatch.setattr("workbench.clipboard.PATIENCE", 0.2)
    tmux("exec sleep 60")
    async with driving(replaying()) as user:
        await user.press("2", "ctrl+y", "3")
        assert user.here == "neurons"
        await user.until(lambda: user.notices)
        assert "Sent L20H8 to the terminal's clipboard (OSC 52)" in user.notices[0]


@pytest.mark.parametrize(("name", "value"), [("STY", "1.a"), ("TERM", "linux")])
async def test_where_nothing_takes_it_the_text_is_shown_to_select(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    async with driving(replaying(), (60, 16)) as user:
        await user.press("2", "y")
        await user.until(lambda: user.here == "SelectableText")
        assert "Not copied:" in user.seen
        assert "copied.tsv" in "".join(user.seen.split())
        assert "L20H8" in user.text("#copied")
        await user.press("escape")
        assert user.here == "heads"
        assert not user.notices
