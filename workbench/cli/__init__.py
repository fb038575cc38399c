"""The command line: one module a command, one place for errors and exit codes."""

from __future__ import annotations

import os
import sys
import threading
from io import TextIOWrapper
from typing import NoReturn

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command the program's arguments name, and leave with its exit code."""
    from workbench import importing

    with importing():
        import workbench.cli.app  # noqa: F401
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a locale may lack letters; none ends the program
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:  # the reader of a pipe has seen enough, or the terminal is gone
        # What is left in the buffer would be tried again at the very end, with a complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the program; a thread that is still at work is not waited for.

    Python itself would end such a thread where it next takes its lock. In the middle of C++ code,
    as while torch is imported, that aborts the process.
    """
    if any(each.daemon for each in threading.enumerate()):
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code.

    Errors of the project and of its command line are one line on stderr, never a traceback.
    """
    from typer import Abort, Exit, TyperException

    from analysis.errors import Cancelled, InputError, WorkbenchError
    from workbench.cli.app import make_app

    try:
        result = make_app()(arguments, prog_name="workbench", standalone_mode=False)
    except Exit as finished:
        return finished.exit_code
    except InputError as error:
        return _fail(error, EXIT_USAGE)
    except (Cancelled, KeyboardInterrupt, Abort):
        return EXIT_INTERRUPTED
    except WorkbenchError as error:
        return _fail(error, EXIT_FAILED)
    except TyperException as error:
        return _fail(error.format_message(), EXIT_USAGE)
    except Exception as error:
        from workbench.logs import unforeseen

        return _fail(unforeseen(error), EXIT_FAILED)
    except SystemExit:  # so ends typer where the reader of a pipe has seen enough
        return 0
    return result if isinstance(result, int) else 0


def _fail(message: object, code: int) -> int:
    from screens.text import one_line, under_each_other

    print("workbench: " + one_line(" ".join(str(message).split())), file=sys.stderr)
    if (strips := getattr(message, "strips", None)) is not None:
        both = (strips.prompt, strips.corrupt)
        print(*under_each_other(both, strips.first), sep="\n", file=sys.stderr)
    return code
