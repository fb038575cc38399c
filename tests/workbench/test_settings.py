"""Flag > environment > project file > user file > default, and mistakes are named."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from analysis.errors import InputError
from workbench.settings import cache_dir, load_settings, models_dir


@pytest.fixture(autouse=True)
def user_file(tmp_path, monkeypatch):
    """A home of its own: no settings but those of the test."""
    for variable in list(os.environ):
        if variable.upper().startswith("WORKBENCH_"):
            monkeypatch.delenv(variable)
    file = tmp_path / "home" / "config.toml"
    file.parent.mkdir()
    monkeypatch.setenv("WORKBENCH_CONFIG", str(file))
    monkeypatch.chdir(tmp_path)
    return file


def test_without_anything_the_defaults_hold():
    settings = load_settings()
    assert settings.model_dump() == {
        "model": "smollm2-135m",
        "dtype": "float32",
        "bits": None,
        "device": "auto",
        "adapter": None,
        "ignore_unused": False,
        "seed": 0,
        "readonly": False,
        "cache": None,
        "theme": None,
        "colours": "auto",
        "offer_unfinished": True,
        "keys": {},
    }


def test_each_layer_overrides_the_one_below(tmp_path, user_file, monkeypatch):
    user_file.write_text('model = "user/m"\nseed = 1\ndevice = "cuda"\ntheme = "nord"\n')
    assert load_settings().seed == 1

    (tmp_path / "workbench.toml").write_text('seed = 2\nmodel = "project/m"\ndevice = "cpu"\n')
    below = tmp_path / "some" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load_settings().seed == 2

    monkeypatch.setenv("WORKBENCH_SEED", "3")
    monkeypatch.setenv("WORKBENCH_MODEL", "environment/m")
    assert load_settings().seed == 3

    settings = load_settings(seed=4, model=None, readonly=True)
    assert settings.seed == 4
    assert settings.model == "environment/m"
    assert settings.device == "cpu"
    assert settings.theme == "nord"
    assert settings.readonly


def test_the_nearest_project_file_counts(tmp_path, monkeypatch):
    (tmp_path / "workbench.toml").write_text("seed = 1\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "workbench.toml").write_text("readonly = true\n")
    monkeypatch.chdir(inner)
    settings = load_settings()
    assert (settings.seed, settings.readonly) == (0, True)


def test_a_relative_model_is_meant_from_the_files_folder(tmp_path, monkeypatch):
    (tmp_path / "workbench.toml").write_text('model = "./models/mine"\n')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert Path(load_settings().model) == tmp_path / "models" / "mine"


def test_models_are_kept_where_the_settings_say(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", "~/models of mine")
    assert cache_dir() == Path.home() / "models of mine"
    monkeypatch.setenv("WORKBENCH_CACHE", "")
    assert cache_dir() == platformdirs.user_cache_path("workbench", False)
    monkeypatch.delenv("WORKBENCH_CACHE")
    (tmp_path / "workbench.toml").write_text('cache = "./cached"\n')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert models_dir() == tmp_path / "cached" / "models"


def test_other_workbench_variables_are_no_settings(monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", "elsewhere")
    load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ?", r"workbench\.toml is not valid TOML: .*line 1"),
        ("colour = 1", r"workbench\.toml: unknown key 'colour'; known are model, dtype"),
        ("[model]\nname = 1", r"workbench\.toml: model: .*string"),
        ("seed = -1", r"workbench\.toml: seed: .*greater than or equal to 0, not -1"),
        ('dtype = "int3"', r"workbench\.toml: dtype: .*'float32'.*not 'int3'"),
    ],
)
def test_a_mistake_in_a_file_names_file_and_key(tmp_path, text, message):
    (tmp_path / "workbench.toml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_mistake_in_the_users_file_names_that_file(user_file):
    user_file.write_text('readonly = "perhaps"\n')
    with pytest.raises(InputError, match=r"config\.toml: readonly: "):
        load_settings()


def test_a_file_that_is_no_text_is_one_line(user_file):
    user_file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"config\.toml is not valid TOML"):
        load_settings()


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("WORKBENCH_SEED", "many")
    with pytest.raises(InputError, match=r"^WORKBENCH_SEED: .*not 'many'"):
        load_settings()


def test_bits_are_8_or_4_wherever_they_are_set(tmp_path, monkeypatch):
    assert load_settings(bits=8).bits == 8
    (tmp_path / "workbench.toml").write_text("bits = 4\n")
    assert load_settings().bits == 4
    monkeypatch.setenv("WORKBENCH_BITS", "8")
    assert load_settings().bits == 8
    for wrong in ("3", "four"):
        monkeypatch.setenv("WORKBENCH_BITS", wrong)
        with pytest.raises(InputError, match="^WORKBENCH_BITS: Input should be 8 or 4, not "):
            load_settings()
    with pytest.raises(InputError, match="^--bits: Input should be 8 or 4, not 3$"):
        load_settings(bits=3)


def test_a_mistake_in_a_flag_names_the_flag():
    with pytest.raises(InputError, match=r"^--dtype: .*not 'int8'"):
        load_settings(dtype="int8")
    with pytest.raises(InputError, match=r"^--model: "):
        load_settings(model="")
