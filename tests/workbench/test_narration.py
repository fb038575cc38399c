"""Progress of a command where no line can be drawn over."""

from __future__ import annotations

from workbench.cli import narration


def test_progress_in_a_file_is_a_line_now_and_then(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(narration.time, "monotonic", lambda: clock[0])
    with narration.bar("heads") as bar:
        for done in range(0, 271, 10):
            bar.update(done, 270)
            clock[0] += 10
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "heads 60 of 270 rows, about 3 min 30 s left"
    assert len(lines) == 4
    assert lines[-1].startswith("heads 240 of 270 rows")


def test_a_line_without_an_estimate_says_what_it_knows(capsys, monkeypatch):
    monkeypatch.setattr(narration, "PACE", 0.0)
    with narration.bar("heads") as bar:
        bar.update(3, 9)
        bar.update(3, 9, "epoch 2", 0.5)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "heads 3 of 9 rows"
    assert second.startswith("heads 3 of 9 rows, epoch 2, about ")
