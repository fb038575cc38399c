"""What tests of the command line type, and what they look at on disk."""

from __future__ import annotations

import sys
from pathlib import Path

CASE = ["--prompt", "3 + 5 = ", "--answer", "8"]
"""A case, as options."""
PROGRAM = [sys.executable, "-c", "from workbench.cli import main; main()"]
"""The workbench in a process of its own."""


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its bytes."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
