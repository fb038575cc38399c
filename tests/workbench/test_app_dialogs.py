"""Dialogs keep what was typed, say what is wrong with it in place, and are not asked in vain."""

from __future__ import annotations

from hands import hands
from textual._xterm_parser import XTermParser
from textual.widgets import Input

from analysis.tasks.prompts import Prompt
from screens.messages import PromptsChosen, StepRequested
from sessions import Session, list_sessions


async def test_what_is_wrong_is_said_under_its_field_until_it_is_changed(sessions_folder):
    async with hands() as user:
        await user.begin("sessions", replaying=False)
        taken = list_sessions()[-1].name
        assert taken != user.table.current_key
        for wrong, why in (("a/b", "cannot name a session"), ("", "'' cannot"), (taken, "exists")):
            await user.press("R")
            await user.type(wrong)
            await user.press("enter")
            assert user.here == "Ask"
            assert why in user.text("Problem")
            await user.write("x")
            assert not user.app.screen.query_one("Problem").display
            await user.press("escape")
        await user.press("R")
        await user.type("another")
        await user.press("enter")
        assert user.here == "sessions"

        await user.begin("change", replaying=False)
        await user.press("a")
        await user.until(lambda: user.here == "Form")
        for name, text in (("top", "many"), ("top", "9,99")):
            field = next(each for each in user.screen.query(Input) if each.name == name)
            field.focus()
            await user.type(text)
            await user.press("enter")
            problem = user.screen.query_one("Problem")
            assert f"{text!r} is not a whole number" in user.text("Problem")
            assert problem.region.y == field.region.y + 1
        # Digits of a number are no screens, and thousands may be set apart.
        await user.type("1,234")
        assert (user.here, field.value) == ("Form", "1,234")
        await user.press("escape", "a")
        field = next(each for each in user.screen.query(Input) if each.name == name)
        assert field.value == "1,234"
        await user.press("enter")
        (asked,) = (each for each in user.messages if isinstance(each, StepRequested))
        assert asked.step.top == 1234


async def test_a_session_in_use_is_not_asked_about(sessions_folder):
    async with hands() as user:
        await user.begin("sessions", replaying=False)
        name = user.table.current_key
        with Session.open(name, writable=True):
            for key in "dR":
                await user.press(key)
                assert user.here == "sessions"
                assert user.app.told[-1].startswith(
                    f"session {name} is in use here; after quitting"
                )
        await user.press("d")
        assert user.here == "Confirm"


async def test_a_number_above_all_there_are_is_all_of_them(sessions_folder):
    async with hands() as user:
        await user.begin("prompts", replaying=False)
        await user.press("t", *"draw", "enter")
        await user.until(lambda: user.here == "Form")
        await user.type("99,999,999")
        await user.press("enter")
        assert user.app.told[-1].startswith("all 880")
        (chosen,) = (each for each in user.messages if isinstance(each, PromptsChosen))
        assert len(chosen.prompts) == 880


async def test_keys_that_come_at_once_act_one_after_the_other(sessions_folder):
    async with hands() as user:
        await user.begin("prompts", replaying=False)
        line = "nThe way\t home\r"  # opens a form, fills two fields and takes it
        for event in XTermParser().feed(line + "7"):
            user.app.post_message(event)
        await user.until(lambda: user.here == "sessions")
        (chosen,) = (each for each in user.messages if isinstance(each, PromptsChosen))
        assert chosen.prompts.prompts == (Prompt(prompt="The way", answer=" home"),)
