"""The pages of the documentation that come with the program."""

from __future__ import annotations

from pathlib import Path

TOPICS = (
    "guide",
    "tasks",
    "keys",
    "sessions",
    "export",
    "ssh",
    "sharing",
    "plans",
    "notebook",
    "steps",
    "cli",
    "method",
    "paper-on-smollm2",
    "ioi-on-smollm2",
    "benchmarks",
)
"""The pages for users, by the names of their files."""
_HERE = Path(__file__).parent
FOLDERS = (_HERE / "docs", _HERE.parent / "docs")
"""Where the pages are: in an installed program, in a checkout."""


def page_of(topic: str) -> Path | None:
    """The file of a page; None: it did not come with this program."""
    files = (folder / f"{topic}.md" for folder in FOLDERS)
    return next((each for each in files if each.is_file()), None)


def topics() -> list[str]:
    """The pages that can be shown."""
    return [each for each in TOPICS if page_of(each) is not None]


def text_of(topic: str) -> str:
    """A page, as Markdown."""
    file = page_of(topic)
    return "" if file is None else file.read_text("utf-8")


def title_of(topic: str) -> str:
    """What a page is called."""
    file = page_of(topic)
    assert file is not None
    with file.open(encoding="utf-8") as lines:
        return next(lines, topic).lstrip("# ").strip()
