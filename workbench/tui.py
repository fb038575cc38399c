"""Starting the terminal UI, live or as a replay."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from analysis.errors import InputError, WorkbenchError
from analysis.tasks.standard import task
from workbench import importing
from workbench.models.resolve import check_there

if TYPE_CHECKING:
    from sessions import Session
    from workbench.app import WorkbenchApp
    from workbench.settings import Settings


def open_live(
    settings: Settings, session_name: str | None = None, *, model_given: bool = True
) -> None:
    """Open the workbench on a model.

    Args:
        settings: which model, and how it is loaded.
        session_name: where steps are recorded; what that session has already is in sight from the
            first. None: in a new one.
        model_given: the user named the model; else that of the session is meant.

    Raises:
        InputError: there is no terminal to draw on, no model at that place, or the name cannot be
            used.
        WorkbenchError: another process writes that session.
    """
    _need_terminal("workbench heads, cna, neurons and project work without one")
    check_there(settings.model)
    app_class = _app_class(settings)
    from screens.workspace import Workspace
    from sessions import Session, exists

    prompts = task("add1", shots=2)
    case = next(
        place for place, each in enumerate(prompts.prompts) if each.prompt.endswith("3 + 6 = ")
    )
    workspace = Workspace(prompts, case, readonly=settings.readonly, guided=_first_run())
    if session_name is None or not exists(session_name):
        _run(app_class(workspace, settings, session_name), settings)
        return
    with Session.open(session_name, writable=True) as session:
        workspace.take_up(session)
        chosen = settings if model_given else settings.of_record(session.info.model)
        _run(app_class(workspace, chosen, session), chosen)


def open_replay(session: Session, settings: Settings) -> None:
    """Open a recorded session, with no model.

    Raises:
        InputError: there is no terminal to draw on.
    """
    _need_terminal(f"workbench sessions show {session.address} prints its steps")
    app_class = _app_class(settings)
    from screens.workspace import Workspace
    from sessions import Follower

    workspace = Workspace(task("add1", shots=2), readonly=settings.readonly)
    # Made before the rows are read, so that nothing is missed of what is written meanwhile.
    follower = Follower(session)
    workspace.replay(session)
    live = settings.of_record(session.info.model)
    _run(app_class(workspace, live, follower=follower), live)


def _first_run() -> bool:
    """Whether nobody has worked here before; asked once."""
    from sessions import list_sessions
    from workbench.paths import state_dir

    mark = state_dir() / "guided"
    if mark.exists() or list_sessions():
        return False
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return True


def _app_class(settings: Settings) -> type[WorkbenchApp]:
    """Import the app once the environment is set as Textual should find it."""
    if settings.colours == "none":
        os.environ["NO_COLOR"] = "1"
    elif settings.colours != "auto":
        system = "standard" if settings.colours == "16" else settings.colours
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", system)
    if "SSH_CONNECTION" in os.environ:
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if not os.environ.get("NO_COLOR"):  # set to nothing it says nothing, but Textual heeds it
        os.environ.pop("NO_COLOR", None)
    with importing():
        from workbench.app import WorkbenchApp

    return WorkbenchApp


def _need_terminal(instead: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(f"the terminal UI needs a terminal; {instead}")
    if os.environ.get("TERM") == "dumb":
        raise InputError(f"a dumb terminal cannot show the UI; {instead}")


def _run(app: WorkbenchApp, settings: Settings) -> None:
    """Run the app with other libraries' chatter in the log file."""
    from workbench.goodbye import goodbye
    from workbench.keymap import keymap
    from workbench.logs import redirect_fd2, start_logging
    from workbench.settings import origin

    try:
        app.set_keymap(keymap(settings.keys))
    except InputError as error:
        raise InputError(f"{origin('keys')}: {error}") from None
    path = start_logging()
    with redirect_fd2(path):
        try:
            app.run()
        finally:
            app.close_jobs()
    if app.return_code:
        raise WorkbenchError(f"the terminal UI stopped on an error; the log {path} tells more")
    with suppress(OSError):  # the terminal may be gone
        for line in goodbye(app.runs, app.workspace.session):
            print(line)
