"""What the libraries beneath us say goes to the log file with our own messages, off the terminal.

The terminal is kept quiet in three layers, from gentle to firm: variables that libraries read when
they are imported, their own switches once they are, and file descriptor 2 for native code that
asks nobody.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from workbench.paths import log_file

OURS = ("analysis", "sessions", "screens", "workbench")
THEIRS = (
    "accelerate",
    "bitsandbytes",
    "filelock",
    "huggingface_hub",
    "peft",
    "py.warnings",
    "torch",
    "transformers",
)
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_MEGABYTE = 1_000_000


def start_logging(path: Path | None = None, *, level: int = logging.INFO) -> Path:
    """Send our log messages, library messages and Python warnings to a rotating file.

    Nothing is written to the terminal. Calling it again moves the log to the new place. Where the
    folder cannot be written, messages are dropped: a full or read-only home must not stop work.

    Args:
        path: the log file; the usual place by default.
        level: least important level of our own messages; libraries are heard from WARNING up.

    Returns:
        Where the log lies.
    """
    path = path or log_file()
    stop_logging()
    handler = _handler(path)
    for name in (*OURS, *THEIRS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level if name in OURS else logging.WARNING)
    logging.captureWarnings(True)
    return path


def stop_logging() -> None:
    """Close the log file and give the loggers back as they come."""
    logging.captureWarnings(False)
    for name in (*OURS, *THEIRS):
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def unforeseen(error: Exception) -> str:
    """One line about a mistake of ours; the log has the rest."""
    path = start_logging()
    logging.getLogger(__name__).error("unforeseen", exc_info=error)
    return f"{type(error).__name__}: {error}; a mistake of the program, the log {path} has more"


def _handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            path, maxBytes=2 * _MEGABYTE, backupCount=2, encoding="utf-8", delay=True
        )
        # Opening now shows whether the file can be written at all.
        path.open("a").close()
    except OSError:
        return logging.NullHandler()
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler


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
