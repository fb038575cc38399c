"""The memory: steps and their frames on disk. Opening a session needs no model and no torch.

    <data folder>/sessions/add1-1/
        session.json            the model, the seed, a note
        desk.json               how it was left: the step looked at last, the changes staged
        001-heads/
            step.json           the step's own JSON, its state, time, baseline
            estimates.parquet   first-order values, if the step has them
            view.json           how it was looked at last in the terminal UI
            part-00000.parquet  rows; while the step runs there are many parts
        .lock, writer.json      who writes it now

Every file appears whole under its name or not at all. A part counts only if its bytes match the
hash in its metadata, so no damaged number is taken for a measured one.
"""

from sessions.catalogue import (
    SessionSummary,
    check_changeable,
    check_new_name,
    latest_unfinished,
    leftovers,
    list_examples,
    list_sessions,
    prunable,
    remove_session,
    rename_session,
)
from sessions.documents import (
    SCHEMA,
    Desk,
    RecordedState,
    SessionInfo,
    StepInfo,
    View,
)
from sessions.following import Follower, other_writer
from sessions.identity import difference
from sessions.paths import examples_root, exists, root
from sessions.recorded import RecordedStep
from sessions.recorder import Finished, Rows, Started, Update, ensure, new_id, record
from sessions.session import Session, read_desk, read_view, write_desk, write_view

__all__ = [
    "SCHEMA",
    "Desk",
    "Finished",
    "Follower",
    "RecordedState",
    "RecordedStep",
    "Rows",
    "Session",
    "SessionInfo",
    "SessionSummary",
    "Started",
    "StepInfo",
    "Update",
    "View",
    "check_changeable",
    "check_new_name",
    "difference",
    "ensure",
    "examples_root",
    "exists",
    "latest_unfinished",
    "leftovers",
    "list_examples",
    "list_sessions",
    "new_id",
    "other_writer",
    "prunable",
    "read_desk",
    "read_view",
    "record",
    "remove_session",
    "rename_session",
    "root",
    "write_desk",
    "write_view",
]
