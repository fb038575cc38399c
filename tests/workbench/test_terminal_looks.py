"""A walk over the screens in terminals of many colours, few and none, and in tmux."""

from __future__ import annotations

import re
import shutil
import sys

import pytest
from terminals import WORKBENCH, Terminal, terminal, tmux

REPLAY = ("replay", "example:addition")
SCREENS = {
    "1": "36 prompts",
    "2": "harm",
    "3": "certified",
    "4": "promotes",
    "5": "How the answer comes about",
    "6": "Heads and neurons taken away",
    "7": "example:paper",
    "8": "Llama-7B",
}
"""Keys, and what stands on the screens they open."""
LISTS = {
    "?": ("to search", "was not measured"),
    ":": ("to search", "was not measured"),
    "T": ("steps of session addition", "T5"),
}
"""Keys, what stands in the lists they open, and what they hide of the last screen."""
BASIC = re.compile(r"(3[0-79]|4[0-79]|9[0-7]|10[0-7])")
STYLE = re.compile(r"([0-57-9]|2[1-9])")


def glance(workbench: Terminal) -> None:
    """Look at the heads, where most colours are, and quit."""
    workbench.until("1 of 5")
    workbench.press("2")
    workbench.until("harm")
    workbench.press("Q")
    assert workbench.ends() == 0


def walk(workbench: Terminal) -> None:
    """Look at every screen and list; back on the first screen, quit."""
    workbench.until("1 of 5")
    for key, text in SCREENS.items():
        workbench.press(key)
        workbench.until(text)
    for key, (text, hidden) in LISTS.items():
        workbench.press(key)
        workbench.until(text)
        workbench.press("\x1b")
        workbench.until(hidden)
    workbench.press("2")
    workbench.until("harm")
    workbench.press("q")
    workbench.until("Llama-7B")
    workbench.press("Q")
    workbench.until("look again with: workbench replay example:addition")
    assert workbench.ends() == 0


def parameters(workbench: Terminal) -> set[str]:
    return {number for style in workbench.styles for number in style.split(";") if number}


def test_with_256_colours_the_heads_are_painted_in_many_and_nothing_needs_more():
    with terminal(*REPLAY) as workbench:
        walk(workbench)
        assert workbench.restored
    colours = set(re.findall(r"[34]8;5;\d+", ";".join(workbench.styles)))
    assert len(colours) > 20
    assert not any("8;2;" in style for style in workbench.styles)
    assert "▓" not in workbench.raw


@pytest.mark.parametrize(
    ("name", "look"), [("xterm", walk), ("linux", glance), ("screen", glance), ("", glance)]
)
def test_with_16_colours_glyphs_say_how_much(name, look):
    with terminal(*REPLAY, TERM=name) as workbench:
        look(workbench)
        assert workbench.restored
    assert all(
        BASIC.fullmatch(number) or STYLE.fullmatch(number) for number in parameters(workbench)
    )
    assert "▓" in workbench.raw


def test_under_no_color_there_is_none_and_text_styles_stand_in():
    # What promises most colours is the hardest to do without them.
    with terminal(*REPLAY, NO_COLOR="1", COLORTERM="truecolor") as workbench:
        walk(workbench)
        assert workbench.restored
    assert parameters(workbench) <= {*"0123479", "39", "49"}
    assert "▓" in workbench.raw
    assert any({"1", "4"} <= {*style.split(";")} for style in workbench.styles), "what is chosen"


def test_no_color_set_to_nothing_says_nothing():
    with terminal(*REPLAY, NO_COLOR="") as workbench:
        workbench.until("1 of 5")
        workbench.press("Q")
        assert workbench.ends() == 0
    assert "38;5;215" in ";".join(workbench.styles)


def test_a_dumb_terminal_is_refused_in_one_line():
    with terminal(*REPLAY, TERM="dumb") as workbench:
        assert workbench.ends() == 2
        assert not workbench.modes
    (line,) = workbench.raw.splitlines()
    assert line == (
        "workbench: a dumb terminal cannot show the UI; "
        "workbench sessions show example:addition prints its steps"
    )


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, "full"),
        ({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}, "none"),
        ({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22", "TEXTUAL_ANIMATIONS": "basic"}, "basic"),
    ],
    ids=["here", "over SSH", "as asked for"],
)
def test_nothing_is_animated_over_ssh_unless_asked_for(environment, level):
    program = (
        "import sys; from workbench.cli import run; run(sys.argv[1:]); "
        "from textual import constants; print('animated:', constants.TEXTUAL_ANIMATIONS)"
    )
    unsaid = [] if "TEXTUAL_ANIMATIONS" in environment else ["env", "-u", "TEXTUAL_ANIMATIONS"]
    command = [*unsaid, sys.executable, "-c", program]
    with terminal(*REPLAY, program=command, **environment) as workbench:
        workbench.until("1 of 5")
        workbench.press("Q")
        assert workbench.ends() == 0
        assert f"animated: {level}" in workbench.text


@pytest.mark.skipif(shutil.which("tmux") is None, reason="the same walk in bare terminals is above")
@pytest.mark.parametrize("default", ["tmux-256color", "screen-256color", "screen"])
def test_tmux_shows_every_screen_and_is_left_as_it_was(tmp_path, default):
    with tmux(tmp_path, default) as pane:
        pane.until("$")
        pane.press(" ".join([*WORKBENCH, *REPLAY]) + "; echo ended $?", "Enter")
        pane.until("1 of 5")
        assert pane.tells("alternate_on") == pane.tells("mouse_any_flag") == "1"
        whole = default == "tmux-256color"  # the others differ in their colours only
        for key, text in SCREENS.items() if whole else [("2", SCREENS["2"])]:
            pane.press(key)
            pane.until(text)
            assert pane.screen.count("\n") == 24
            if key == "2":
                assert ("▓" in pane.screen) == (default == "screen")
                assert ("48;5;" in pane.styled) == (default != "screen")
                pane.press("C-y")
                pane.until("to tmux's buffer")
                assert pane.ask("show-buffer") in pane.screen
        for key, (text, hidden) in LISTS.items() if whole else []:
            pane.press(key)
            pane.until(text)
            pane.press("Escape")
            pane.until(hidden)
        if whole:  # escape and a digit in one write: both are taken
            pane.press("2")
            pane.until(SCREENS["2"])
            pane.press("/")
            pane.until("as L20H8")
            pane.press("Escape", "3")
            pane.until(SCREENS["3"])
        pane.press("Q")
        pane.until("ended 0")
        told = "session addition · look again with: workbench replay example:addition"
        assert told in pane.screen.splitlines()
        facts = ("alternate_on", "mouse_any_flag", "cursor_flag", "wrap_flag")
        assert [pane.tells(each) for each in facts] == ["0", "0", "1", "1"]
