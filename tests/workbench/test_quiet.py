"""Other libraries' output goes to the log, never to the terminal."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import warnings

import pytest
from waiting import until

from workbench.logs import (
    keep_libraries_quiet,
    quiet_libraries,
    redirect_fd2,
    start_logging,
    stop_logging,
)


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STATE", str(tmp_path / "state"))
    path = start_logging()
    assert path == tmp_path / "state" / "log" / "workbench.log"
    yield path
    stop_logging()


def test_messages_of_all_reach_the_log_and_not_the_terminal(log, capfd):
    logging.getLogger("workbench.job").info("job started")
    logging.getLogger("transformers.models").warning("odd config")
    logging.getLogger("torch.cuda").info("chatter below WARNING")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("something old", stacklevel=1)
    text = log.read_text(encoding="utf-8")
    assert "INFO    workbench.job: job started" in text
    assert "WARNING transformers.models: odd config" in text
    assert "something old" in text
    assert "chatter" not in text
    assert capfd.readouterr() == ("", "")


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path, capfd):
    (tmp_path / "file").write_text("in the way")
    start_logging(tmp_path / "file" / "workbench.log")
    try:
        logging.getLogger("workbench").warning("dropped")
    finally:
        stop_logging()
    assert capfd.readouterr() == ("", "")


def test_the_log_rotates(log):
    logger = logging.getLogger("workbench")
    for _ in range(300):
        logger.info("x" * 10_000)
    assert sorted(each.name for each in log.parent.iterdir()) == [
        "workbench.log",
        "workbench.log.1",
    ]
    assert log.stat().st_size < 2_000_000


def test_bars_and_warnings_of_transformers_stay_off_the_terminal(log, capfd):
    from tqdm.auto import tqdm
    from transformers.utils import logging as transformers_logging

    with quiet_libraries():
        assert list(tqdm(range(3), desc="converting")) == [0, 1, 2]
        assert list(transformers_logging.tqdm(range(3))) == [0, 1, 2]
        transformers_logging.get_logger("transformers.some_model").warning("mind the config")
        assert capfd.readouterr() == ("", "")
    assert "mind the config" in log.read_text(encoding="utf-8")
    # Outside, bars are as they were, once no other thread loads a model any more.
    until(lambda: _draws(tqdm))


def test_quiet_blocks_of_two_threads_may_overlap():
    from tqdm.auto import tqdm

    until(lambda: _draws(tqdm))
    first, second = quiet_libraries(), quiet_libraries()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not _draws(tqdm)
    second.__exit__(None, None, None)
    until(lambda: _draws(tqdm))


def _draws(tqdm):
    """Whether a new bar would be drawn."""
    bar = tqdm(range(3))
    drawn = not bar.disable
    bar.close()
    return drawn


def test_without_a_log_the_warnings_are_dropped():
    script = (
        "from workbench.logs import quiet_libraries\n"
        "with quiet_libraries():\n"
        "    import logging\n"
        "    logging.getLogger('transformers.x').warning('dropped')\n"
        "    logging.getLogger('huggingface_hub.x').warning('dropped')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_asking_for_quiet_imports_nothing_and_respects_the_user():
    script = (
        "import sys\n"
        "from workbench.logs import keep_libraries_quiet\n"
        "keep_libraries_quiet()\n"
        "import os\n"
        "assert os.environ['TRANSFORMERS_VERBOSITY'] == 'debug'\n"
        "assert os.environ['TQDM_DISABLE'] == '1'\n"
        "assert not {'torch', 'transformers', 'tqdm'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "TRANSFORMERS_VERBOSITY": "debug"}
    environment.pop("TQDM_DISABLE", None)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert keep_libraries_quiet() is None


def test_native_writes_to_descriptor_2_land_in_the_file(tmp_path, capfd):
    file = tmp_path / "log" / "native.log"
    libc = ctypes.CDLL(None)
    with redirect_fd2(file):
        libc.write(2, b"from C\n", 7)
        os.write(2, b"from Python\n")
        print("to the terminal", file=sys.__stderr__, flush=True)
    os.write(2, b"back again\n")
    assert file.read_text().splitlines() == ["from C", "from Python"]
    assert capfd.readouterr().err == "to the terminal\nback again\n"


def test_the_redirection_ends_with_an_error_too_and_nests(tmp_path, capfd):
    with pytest.raises(ZeroDivisionError), redirect_fd2(tmp_path / "outer"):
        with redirect_fd2(tmp_path / "inner"):
            os.write(2, b"inner\n")
        os.write(2, b"outer\n")
        raise ZeroDivisionError
    os.write(2, b"terminal\n")
    assert (tmp_path / "inner").read_text() == "inner\n"
    assert (tmp_path / "outer").read_text() == "outer\n"
    assert capfd.readouterr().err == "terminal\n"


def test_a_file_that_cannot_be_opened_drops_the_output(tmp_path, capfd):
    (tmp_path / "file").write_text("in the way")
    with redirect_fd2(tmp_path / "file" / "log"):
        os.write(2, b"dropped\n")
    assert capfd.readouterr().err == ""


DRAWING = """
import os, sys
from pathlib import Path
from textual.app import App
from textual.widgets import Label
from workbench.logs import redirect_fd2

class Drawing(App):
    def compose(self):
        yield Label("drawn on the terminal")
    def on_mount(self):
        os.write(2, b"native chatter")
        self.set_timer(0.5, self.exit)

with redirect_fd2(Path(sys.argv[1])):
    Drawing().run()
os.write(2, b"back again")
"""


def test_a_textual_app_still_draws_while_native_output_goes_to_the_file(tmp_path):
    import pty

    log = tmp_path / "native.log"
    script = tmp_path / "drawing.py"
    script.write_text(DRAWING)
    main, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, str(script), str(log)],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
        start_new_session=True,
    )
    os.close(child)
    seen = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # the other end has closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(main)
    assert process.wait(30) == 0
    assert b"drawn on the terminal" in seen
    assert b"native chatter" not in seen
    assert b"back again" in seen
    assert log.read_bytes() == b"native chatter"
