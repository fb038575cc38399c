"""From what the user typed after `--model` to something that can be loaded."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import InputError, WorkbenchError
from workbench.models.catalogue import CATALOGUE, converted, fetch, say_nothing, source_of
from workbench.models.store import Progress

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@(?P<revision>[\w./-]+))?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that can be loaded, and what to record about where it came from."""

    name: str
    location: Path | str
    """A model folder, or a hub id."""
    source: str
    """Release, hub id or file name; never a machine path."""
    revision: str | None = None


def resolve(
    model: str,
    progress: Progress = say_nothing,
    *,
    fetch: Callable[[str, Progress], Path] = fetch,
    converted: Callable[[Path, Progress], tuple[Path, str]] = converted,
) -> ResolvedModel:
    """Find the model the user means; fetch or convert it if that is still to do.

    A name of the catalogue comes first, then what lies on disk, then a hub id.

    Args:
        model: catalogue name, hub id (`org/name`, `org/name@revision`), folder or GGUF file.
        progress: called with a few words that say what is going on.
        fetch: has a catalogue model ready.
        converted: has a GGUF file's folder ready.

    Raises:
        InputError: nothing usable goes by that name; one line says why.
        WorkbenchError: fetching or converting failed.
    """
    names = [source.name for source in CATALOGUE]
    if model in names:
        source = source_of(model)
        folder = fetch(model, progress)
        return ResolvedModel(model, folder, source.description, _short(source.gguf_sha256))
    path = Path(model).expanduser()
    if model and path.is_dir():
        folder = _checked_folder(path)
        return ResolvedModel(folder.name, folder, folder.name)
    if model and path.exists():
        return _from_file(path, progress, converted)
    check_there(model)
    if match := _HUB_ID.fullmatch(model):
        hub_id = model.partition("@")[0]
        return ResolvedModel(hub_id, hub_id, hub_id, match["revision"])
    near = difflib.get_close_matches(model.lower(), names, n=1, cutoff=0.5)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"unknown model {model!r}{guess}; use one of {', '.join(names)}, a hub id like org/name, "
        "a local folder or a .gguf file"
    )


def is_named(model: str) -> bool:
    """Whether a model is found by its name alone, wherever one stands: not a folder or a file."""
    known = any(source.name == model for source in CATALOGUE)
    return known or _HUB_ID.fullmatch(model) is not None


def check_there(model: str) -> None:
    """Refuse what names a place on disk where nothing is.

    Raises:
        InputError: nothing is there.
    """
    path = Path(model).expanduser()
    named = path.suffix.lower() == ".gguf" or model.startswith(("/", "./", "../", "~"))
    if named and not path.exists():
        raise InputError(f"no such file or folder: {model}")


def _from_file(
    file: Path, progress: Progress, converted: Callable[[Path, Progress], tuple[Path, str]]
) -> ResolvedModel:
    suffix = file.suffix.lower()
    if suffix in _PICKLES:
        raise InputError(f"{file.name} is a pickle, {_REFUSAL}")
    if suffix == ".safetensors":
        raise InputError(f"{file.name} is weights only; give the folder it lies in, with config")
    if not file.is_file():
        raise InputError(f"{file} is neither a folder nor a file")
    try:
        folder, digest = converted(file, progress)
    except PermissionError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror}") from error
    return ResolvedModel(file.stem, folder, file.name, _short(digest))


_REFUSAL = "which can run code when opened: convert it to safetensors first"


def _checked_folder(folder: Path) -> Path:
    """The folder, if it holds a config and safetensors.

    Raises:
        InputError: it does not; says what it is instead.
    """
    folder = folder.resolve()
    try:
        files = {each.name for each in folder.iterdir()}
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    if "config.json" not in files:
        if "adapter_config.json" in files:
            raise InputError(
                f"{folder.name} holds an adapter, not a model: give it with --adapter, "
                "and the model it changes with --model"
            )
        ggufs = sorted(name for name in files if name.lower().endswith(".gguf"))
        hint = f"; give the file itself: {folder.name}/{ggufs[0]}" if ggufs else ""
        raise InputError(f"{folder.name} holds no model: config.json is missing{hint}")
    weights = {name for name in files if name.endswith(".safetensors")}
    pickles = sorted(name for name in files if name.endswith(_PICKLES))
    if not weights and pickles:
        raise InputError(f"{folder.name} has only a pickle ({pickles[0]}), {_REFUSAL}")
    if not weights:
        raise InputError(f"{folder.name} holds no weights: .safetensors files are missing")
    if missing := _missing_shards(folder, files):
        raise InputError(f"{folder.name} is incomplete: {missing[0]} is missing")
    return folder


def _missing_shards(folder: Path, files: set[str]) -> list[str]:
    index = "model.safetensors.index.json"
    if index not in files:
        return []
    try:
        shards = set(json.loads((folder / index).read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{folder.name} is damaged: {index} cannot be read") from error
    return sorted(shards - files)


def _short(digest: str) -> str:
    return f"sha256:{digest[:12]}"


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
        progress: called with a few words that say what is going on.
        download: `huggingface_hub.snapshot_download`, or one like it.

    Returns:
        The folder, and the commit it holds.

    Raises:
        WorkbenchError: it cannot be had.
    """
    progress(f"fetching {hub_id}")
    if download is None:
        from workbench.logs import keep_libraries_quiet

        keep_libraries_quiet()
        from huggingface_hub import snapshot_download

        download = snapshot_download
    try:
        folder = Path(download(hub_id, revision=revision, allow_patterns=list(_WANTED)))
    except Exception as error:  # network, rights, names: all of them are the hub's own classes
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise WorkbenchError(f"cannot fetch {hub_id} from the hub: {reason}") from error
    return folder, folder.name
