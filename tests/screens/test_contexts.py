"""What a neuron fires on: its contexts in lines, the tokens beside them, and where it leads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hands import Idle
from made_up import contexts
from piloting import Driver
from replays import unmeasured
from rich.style import Style

from analysis.tasks.corpora import Corpus
from screens.colours import amount_ramp
from screens.contexts import Shading, in_a_line
from screens.corpus import fires_on
from screens.messages import PromptsChosen

ROW = {"tokens": ["one", " two", " three", " four"], "values": [0.0, 4.0, 8.0, 0.0], "at": 2}


@pytest.fixture
async def user():
    """A workbench that shows what two parts fire on."""
    workspace = unmeasured()
    workspace.results = [contexts()]
    app, messages = Idle(workspace), []
    async with app.run_test(size=(96, 26), message_hook=messages.append) as pilot:
        app.action_visit("corpus")
        await pilot.pause()
        user = Driver(app, pilot)
        user.messages = messages
        yield user


def words(shading, row=ROW, width=30):
    return in_a_line(shading, row, width, Style())


def test_the_token_that_counts_stands_in_the_same_column_whatever_is_before_it():
    shading = Shading(amount_ramp(), False, 8.0)
    for row in (ROW, ROW | {"tokens": ["a long beginning of it", *ROW["tokens"][1:]]}):
        text = "".join(segment.text for segment in words(shading, row))
        assert len(text) == 30
        assert text.index(" three") == int(30 * 0.55)


def test_shades_rise_with_the_value_and_without_colours_the_token_is_turned_round():
    colours = {each.text: each.style for each in words(Shading(amount_ramp(), False, 8.0))}
    assert colours["one"].bgcolor is None
    assert colours[" two"].bgcolor not in (None, colours[" three"].bgcolor)
    plain = {each.text: each.style for each in words(Shading(amount_ramp(), True, 8.0))}
    assert all(style.bgcolor is None for style in plain.values())
    assert (plain[" three"].reverse, plain[" two"].underline) == (True, True)
    assert not plain["one"].underline


def test_a_context_that_is_damaged_is_shown_as_its_text():
    shading = Shading(amount_ramp(), False, 8.0)
    for damage in ({"at": 9}, {"at": None}, {"tokens": None}):
        row = ROW | {"context": "one two"} | damage
        assert "".join(each.text for each in words(shading, row)).strip() == "one two"


async def test_the_title_the_lists_and_the_line_below_say_what_is_known(user):
    assert "L20N3 · fires on 1.00% of 2,000 tokens · text tale.txt" in user.text("#title")
    assert "1 of 2 parts · largest" in user.text("#title")
    assert '"␣eight"' in user.text("#beside-contexts")
    assert "312.0" in user.text("#beside-contexts")
    reading = user.text("#at-cursor")
    assert reading.startswith(' 8.50 on "␣top"   document 1, token 31')
    assert "99 % below 3.20" in reading
    assert "When top Mary and John" in reading


async def test_keys_walk_through_contexts_kinds_and_parts(user):
    await user.press("j", "j")
    assert user.text("#at-cursor").startswith(" 6.50")
    await user.press("tab", "tab")
    assert user.text("#at-cursor").startswith(' −8.50 on "␣bottom"')
    await user.press("greater_than_sign")
    assert user.text("#title").startswith(" L2H1")
    await user.press("slash", *"Mary top", "enter")
    assert user.table.shown == 0
    await user.press("escape")
    assert user.table.shown == 4


async def test_a_context_becomes_the_prompt_and_the_next_token_its_answer(user):
    await user.press("j", "enter")
    chosen = [each for each in user.messages if isinstance(each, PromptsChosen)][-1]
    (case,) = chosen.prompts.prompts
    assert (case.prompt, case.answer) == ("When Mary top", " and")
    assert user.here == "prompts"


async def test_on_another_screen_a_neuron_opens_what_was_read_for_it_already(user):
    user.workspace.replaying = True
    await user.press("4")
    fires_on(user.app.screen, ["L2H1", "L9N9"])
    await user.pilot.pause()
    assert user.here == "corpus"
    assert user.text("#title").startswith(" L2H1")


async def test_the_document_of_a_context_is_shown_where_its_text_is_at_hand(user, tmp_path):
    whole = contexts()
    path = tmp_path / "tale.txt"
    path.write_text("\n\n".join(f"[b]{each}[/b] When top Mary" for each in range(4)))
    step = whole.step.model_copy(update={"text": Corpus.at(path)})
    user.workspace.results = [replace(whole, id="2", step=step)]
    user.app.screen.refresh_all()
    await user.press("j", "o")
    await user.until(lambda: user.here == "HelpPage")
    assert "[b]2[/b] When top Mary" in user.seen
    assert "document 2 of tale.txt" in user.seen
