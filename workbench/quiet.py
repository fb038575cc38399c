"""Keeping other libraries' output off the terminal.

Three layers, from gentle to firm: variables that libraries read when they are imported, their own
switches once they are, and file descriptor 2 for native code that asks nobody.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

_VARIABLES = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "warning",
}
_patching = threading.Lock()
_quiet_blocks = 0
"""How many blocks, of any threads, want no bars now."""


def keep_libraries_quiet() -> None:
    """Ask libraries that are not imported yet to draw no bars. Costs nothing; call it first."""
    for variable, value in _VARIABLES.items():
        os.environ.setdefault(variable, value)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Around loading and converting: imports transformers and switches off its terminal output.

    Warnings still reach the log file when `workbench.logs.start_logging` has been called, and
    nothing at all when it has not.
    """
    keep_libraries_quiet()
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    with _patching:
        disable_progress_bars()
        transformers_logging.disable_progress_bar()
        transformers_logging.disable_default_handler()
        for name in ("transformers", "huggingface_hub", "bitsandbytes"):
            logger = logging.getLogger(name)
            logger.handlers = [each for each in logger.handlers if not _is_terminal(each)]
            # Without any handler, Python would print warnings as a last resort.
            if not logger.handlers:
                logger.addHandler(logging.NullHandler())
            logger.propagate = False
    with _no_bars():
        yield


@contextmanager
def _no_bars() -> Iterator[None]:
    """No tqdm bar of anybody, imported before or not.

    The variable above is read when tqdm is imported, which may have been long ago. Blocks of
    several threads may overlap: the first to come silences, the last to go gives bars back.
    """
    global _quiet_blocks
    from tqdm.std import tqdm

    with _patching:
        _quiet_blocks += 1
        if _quiet_blocks == 1:
            setattr(tqdm, "__init__", _silent(tqdm.__init__))  # noqa: B010 (checked assignment)
    try:
        yield
    finally:
        with _patching:
            _quiet_blocks -= 1
            if not _quiet_blocks:
                setattr(tqdm, "__init__", tqdm.__init__.__wrapped__)  # noqa: B010


def _silent(plain: Callable[..., None]) -> Callable[..., None]:
    @wraps(plain)
    def silent(self: object, *args: Any, **options: Any) -> None:
        plain(self, *args, **{**options, "disable": True})

    return silent


@contextmanager
def redirect_fd2(path: Path) -> Iterator[None]:
    """Append what is written to file descriptor 2, by native code too, to a file.

    `sys.stderr` follows, since it writes to that descriptor. `sys.__stderr__` keeps reaching the
    terminal, through a descriptor of its own: it is what Textual draws on. Nested use is fine.
    Where the file cannot be opened, the output is dropped.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 2)
    os.close(target)
    before = sys.__stderr__
    # Already elsewhere means that an outer redirection has given it the terminal.
    outermost = before is None or before.fileno() == 2
    own = open(saved, "w", encoding="utf-8", closefd=False) if outermost else None  # noqa: SIM115
    if own is not None:
        setattr(sys, "__stderr__", own)  # noqa: B010 (final for type checkers)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        if own is not None:
            setattr(sys, "__stderr__", before)  # noqa: B010
            with suppress(OSError):  # what is left to draw on a terminal that is gone
                own.close()
        os.close(saved)


def _is_terminal(handler: logging.Handler) -> bool:
    """Whether a handler writes to the standard streams (file handlers are stream handlers too)."""
    return isinstance(handler, logging.StreamHandler) and not isinstance(
        handler, logging.FileHandler
    )
