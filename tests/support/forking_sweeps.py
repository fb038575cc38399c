"""A process that loads a model once and sweeps its heads in children that a test may kill.

Run as `python forking_sweeps.py MODEL_FOLDER`. For each name of a session on stdin a child records
a sweep in it, or goes on with the one there. It prints its number, then the rows it acknowledges;
`ended` stands behind the last of them, however it ended.
"""

from __future__ import annotations

import os
import sys
import traceback

import analysis.methods.heads
from analysis.steps import HeadsStep
from analysis.tasks.standard import drawn, task
from sessions import Rows, Session, record
from workbench.runner import open_model
from workbench.settings import load_settings


def sweep(name: str, model: object) -> None:
    """Record the sweep, one head a batch."""
    print(os.getpid(), flush=True)
    step = HeadsStep(prompts=drawn(task("add1", shots=1), 3))
    with Session.use(name, model.info, seed=1) as session:
        resume = session.steps[0] if session.steps else None
        for update in record(session, step, model, resume=resume):
            if isinstance(update, Rows):
                print(*update.frame["name"], flush=True)


def main() -> None:
    """Serve one name after the other."""
    # Nothing here may compute or read a frame: threads do not survive a fork.
    model = open_model(load_settings(model=sys.argv[1], device="cpu"), lambda text: None)
    analysis.methods.heads.BATCH_TOKENS = {"cpu": 1}
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                sweep(line.strip(), model)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
