"""Models by hub id: their files come through huggingface_hub and its own cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.errors import WorkbenchError
from workbench.models.store import Progress

_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
"""Never pickles, never code."""


def snapshot(
    hub_id: str,
    revision: str | None,
    progress: Progress,
    *,
    download: Callable[..., Any] | None = None,
) -> tuple[Path, str]:
    """Have a hub model's config, safetensors and tokenizer on disk.

    Args:
        hub_id: `org/name`.
        revision: branch, tag or commit; the default branch if None.
        progress: told in a few words what is going on.
        download: `huggingface_hub.snapshot_download`, or one like it.

    Returns:
        The folder, and the commit it holds.

    Raises:
        WorkbenchError: it cannot be had.
    """
    progress(f"fetching {hub_id}")
    if download is None:
        from workbench.quiet import keep_libraries_quiet

        keep_libraries_quiet()
        from huggingface_hub import snapshot_download

        download = snapshot_download
    try:
        folder = Path(download(hub_id, revision=revision, allow_patterns=list(_WANTED)))
    except Exception as error:  # network, rights, names: all of them are the hub's own classes
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise WorkbenchError(f"cannot fetch {hub_id} from the hub: {reason}") from error
    return folder, folder.name
