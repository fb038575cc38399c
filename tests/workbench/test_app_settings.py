"""Settings and keys are pages of the program: changed in place, kept in the user's one file."""

from __future__ import annotations

import pytest
from piloting import driving
from replays import replaying

from screens.themes import HIGH_CONTRAST, LIGHT, THEMES
from workbench.settings import load_settings


@pytest.fixture
def file(tmp_path):
    """The user's own file, with what only people care for."""
    file = tmp_path / "config.toml"
    file.write_text('# mine\nseed = 3  # lucky\n\n[keys]\n# hands\n"heads.sweep" = "f5"\n')
    return file


async def open_at(user, name: str) -> None:
    """Open the page at a setting."""
    await user.press("comma")
    await user.until(lambda: user.here == "settings")
    user.table.move_to(name)
    await user.pilot.pause()


async def test_each_setting_stands_with_its_value_where_it_came_from_and_what_it_means(
    file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workbench.toml").write_text('device = "cpu"\n')
    monkeypatch.setenv("WORKBENCH_DTYPE", "bfloat16")
    async with driving(replaying(readonly=True), (60, 16)) as user:
        await open_at(user, "seed")
        rows = {row["name"]: row for row in user.table.copied(True).to_dicts()}
        assert {*rows} == {*load_settings().model_dump()}
        assert "Begins everything random" in user.text("#meaning")
        assert all(row["meaning"] for row in rows.values())
        assert (rows["dtype"]["value"], rows["dtype"]["origin"]) == ("bfloat16", "WORKBENCH_DTYPE")
        assert (rows["seed"]["value"], rows["theme"]["origin"]) == ("3", "default")
        assert rows["seed"]["origin"] == "your file"
        assert rows["device"]["origin"] == "workbench.toml"
        assert rows["readonly"]["origin"] == "--readonly"


async def test_a_choice_is_the_next_one_and_text_is_typed_with_what_is_wrong_under_it(file):
    async with driving(replaying(), (60, 16)) as user:
        await open_at(user, "offer_unfinished")
        await user.press("enter")
        assert "offer_unfinished is no from the next start on." in user.text("#meaning")
        assert load_settings().offer_unfinished is False
        user.table.move_to("offer_unfinished")
        user.table.move_to("seed")
        await user.press("enter")
        await user.type("many")
        await user.press("enter")
        assert "not 'many'" in user.text("ValueLine Problem")
        assert user.app.focused.value == "many"
        await user.type("7")
        await user.press("enter")
        assert load_settings().seed == 7
        assert "seed is 7 from the next start on." in user.text("#meaning")
        await user.press("d")
        assert load_settings().seed == 0
    text = file.read_text()
    assert text.startswith("# mine\n")
    assert '[keys]\n# hands\n"heads.sweep" = "f5"\n' in text


async def test_what_is_typed_is_left_by_escape_and_a_model_that_is_not_there_is_refused(file):
    async with driving(replaying()) as user:
        await open_at(user, "model")
        await user.press("enter")
        await user.type("./nowhere")
        await user.press("enter")
        assert user.text("ValueLine Problem")
        await user.press("escape", "2")
        assert user.here == "heads"
    assert "model" not in file.read_text()


async def test_what_overrides_the_file_is_said(file, monkeypatch):
    monkeypatch.setenv("WORKBENCH_THEME", LIGHT.name)
    async with driving(replaying()) as user:
        await open_at(user, "theme")
        await user.press("enter")
        assert user.app.theme == HIGH_CONTRAST.name
        assert "At the next start WORKBENCH_THEME overrides it" in user.text("#meaning")
        assert "but WORKBENCH_THEME overrides it" in user.text("#meaning")


async def test_ctrl_t_shows_our_themes_and_keeps_the_one_chosen(file):
    async with driving(replaying()) as user:
        await user.press("ctrl+t")
        assert all(name in user.seen for name in THEMES)
        assert "nord" not in user.seen
        await user.press("down")
        assert user.app.theme == LIGHT.name
        await user.press("escape")
        assert user.app.theme == next(iter(THEMES))
        await user.press("ctrl+t", "down", "enter")
        assert user.app.theme == LIGHT.name
        assert len(user.notices) == 1
    assert load_settings().theme == LIGHT.name
    async with driving(replaying(**load_settings().model_dump(include={"theme"}))) as user:
        assert user.app.theme == LIGHT.name


async def test_a_file_that_cannot_be_used_is_said_and_left_alone(file):
    async with driving(replaying()) as user:
        await open_at(user, "seed")
        file.write_text("seed = ?")
        await user.press("d")
        assert "is not valid TOML" in user.text("#empty")
    assert file.read_text() == "seed = ?"


async def test_a_key_is_given_by_pressing_it_a_conflict_is_said_and_all_are_reset(file):
    async with driving(replaying(), (80, 24)) as user:
        await open_at(user, "keys")
        await user.press("enter")
        await user.until(lambda: user.here == "keys")
        user.table.move_to("app.heads")
        await user.press("enter", "3")
        assert "“Neurons” already" in user.text("PressKey Problem")
        await user.press("enter")
        assert user.here == "PressKey"
        await user.press("f9")
        await user.until(lambda: user.here == "keys")
        assert load_settings().keys == {"heads.sweep": "f5", "app.heads": "f9"}
        assert "f9" in user.text(".tabs")
        await user.press("f9")
        await user.until(lambda: user.here == "heads")
        assert "f9 Heads" in user.text(".tabs")
        await user.press("escape", "D", "y")
        assert load_settings().keys == {}
        await user.press("2")
        await user.until(lambda: user.here == "heads")
    assert file.read_text().startswith("# mine\nseed = 3  # lucky\n")
