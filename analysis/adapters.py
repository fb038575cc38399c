"""PEFT adapters on a loaded model: put on, compared with the model below, taken off again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import InputError
from analysis.parts import Parts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from analysis.model import Model

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "training.json"
"""Beside an adapter trained here: on which model and cases, and what came of it."""


def check_adapter(folder: Path) -> None:
    """Refuse a folder that holds no adapter in a safe format.

    Raises:
        InputError: says what is missing.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is not an adapter folder: it has no {CONFIG}")
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder} has no {WEIGHTS}; pickled adapters are not opened, "
            "save it again with safe_serialization"
        )


def training_record(folder: Path) -> dict[str, Any]:
    """What an adapter's folder says of its training; empty where it says nothing."""
    try:
        facts = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def check_base(folder: Path, weights_sha256: str | None) -> None:
    """Refuse an adapter that is known to be trained on other weights, though it would fit.

    Raises:
        InputError: names the model it was trained on.
    """
    base = training_record(folder).get("model")
    if not isinstance(base, dict):
        return
    known = base.get("weights_sha256")
    if known and weights_sha256 and known != weights_sha256:
        raise InputError(
            f"the adapter {folder.name} was trained on {base.get('name')}, whose weights are "
            "not this model's"
        )


def adapter_sha256(folder: Path) -> str:
    """Hash of an adapter's weights and of its config."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def put_on(hf: PreTrainedModel, folder: Path) -> Any:
    """Wrap the adapted layers of a model; `unload` of the result takes the adapter off.

    Raises:
        InputError: the adapter was made for another model, or cannot be read.
    """
    from peft import PeftModel

    check_adapter(folder)
    try:
        wrapped = PeftModel.from_pretrained(hf, str(folder), is_trainable=False)
    except (RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"the adapter {folder.name} does not fit {type(hf).__name__}: {reason}"
        ) from error
    wrapped.requires_grad_(False)
    return wrapped.eval()


@contextmanager
def wearing(model: Model, folder: Path) -> Iterator[None]:
    """Let a model wear an adapter while the block runs.

    Raises:
        InputError: the adapter does not fit, or changes what neurons and tokens are.
    """
    check_base(folder, model.info.weights_sha256)
    wrapped = put_on(model.hf, folder)
    bare = model.parts
    try:
        model.use_parts(Parts.find(model.hf, bare.family))
        check_values_unchanged(model, folder)
        yield
    finally:
        wrapped.unload()
        model.use_parts(bare)


def check_values_unchanged(model: Model, folder: Path) -> None:
    """Neurons can be compared across two models only while their values are the same.

    Raises:
        InputError: the adapter changes a down projection or the unembedding.
    """
    parts = model.parts
    changed = [layer.ffn_out for layer in parts.layers] + [parts.unembedding]
    if any(hasattr(module, "base_layer") for module in changed):
        raise InputError(
            f"the adapter {folder.name} changes down projections or the unembedding, so its "
            "neurons are not the original's; CNA compares adapters on attention, gate and up"
        )
