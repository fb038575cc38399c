"""Where things lie on this machine: cache, state, logs and the user's settings.

platformdirs decides (XDG folders on Linux); one environment variable each overrides it. Sessions
have a folder of their own, found by `sessions.paths`.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_APP = "workbench"


def cache_dir() -> Path:
    """Things that can be fetched or made again: models (`WORKBENCH_CACHE`)."""
    return _from_environment("WORKBENCH_CACHE") or platformdirs.user_cache_path(_APP, False)


def models_dir() -> Path:
    """One folder a model, ready to load."""
    return cache_dir() / "models"


def state_dir() -> Path:
    """What should outlive a run but matters to nobody else (`WORKBENCH_STATE`)."""
    return _from_environment("WORKBENCH_STATE") or platformdirs.user_state_path(_APP, False)


def log_file() -> Path:
    """The log, and what other libraries would have written to the terminal."""
    return state_dir() / "log" / "workbench.log"


def config_file() -> Path:
    """The user's settings (`WORKBENCH_CONFIG` names another file)."""
    named = _from_environment("WORKBENCH_CONFIG")
    return named or platformdirs.user_config_path(_APP, False) / "config.toml"


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser().absolute() if value else None
