"""The log file: our own messages, and those of the libraries beneath us."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

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
