"""Where things lie on this machine: state, logs and the user's settings.

platformdirs decides (XDG folders on Linux); one environment variable each overrides it. Models lie
where a setting says, `workbench.settings.cache_dir`, sessions where `sessions.paths` finds them.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

APP = "workbench"
"""What folders of the program are called."""


def state_dir() -> Path:
    """What should outlive a run but matters to nobody else (`WORKBENCH_STATE`)."""
    return _from_environment("WORKBENCH_STATE") or platformdirs.user_state_path(APP, False)


def log_file() -> Path:
    """The log, and what other libraries would have written to the terminal."""
    return state_dir() / "log" / "workbench.log"


def config_file() -> Path:
    """The user's settings (`WORKBENCH_CONFIG` names another file)."""
    named = _from_environment("WORKBENCH_CONFIG")
    return named or platformdirs.user_config_path(APP, False) / "config.toml"


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser().absolute() if value else None
