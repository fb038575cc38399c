"""What tests of plans share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def plan(tmp_path):
    """Writes a plan of steps."""

    def write(*steps: str, top: str = "", name: str = "night") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(top + "".join(f"\n[[step]]\n{each}\n" for each in steps), "utf-8")
        return path

    return write


@pytest.fixture
def tiny(tiny_folder):
    """Options for the tiny model."""
    return ["--model", str(tiny_folder), "--device", "cpu"]
