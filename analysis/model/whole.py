"""Whether a model folder is all there: its tokenizer, and just the weights its config asks for."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_MASKS = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$|\.rotary_emb\.inv_freq$")
"""Causal masks and rotary frequencies, which older transformers stored beside the weights."""
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")
"""Any of these makes a tokenizer."""


def check_whole(
    hf: PreTrainedModel, report: dict[str, Any], name: str, ignore_unused: bool
) -> tuple[str, ...]:
    """Refuse weights that do not fit the config: transformers drops some and makes others up.

    Args:
        hf: the loaded model.
        report: what transformers found on loading.
        name: what to call the model in messages.
        ignore_unused: go on without weights that the config has no place for.

    Returns:
        The names of these weights.

    Raises:
        InputError: weights are missing, of another shape, or have no place.
    """
    if missing := sorted(report["missing_keys"]):  # these are filled with random numbers
        raise InputError(f"{name} lacks {len(missing)} of its weights, {missing[0]} among them")
    if mismatched := sorted(report["mismatched_keys"]):
        tensor, stored, wanted = mismatched[0]
        raise InputError(
            f"{name}: {tensor} is {_shape(stored)}, config.json asks for {_shape(wanted)}"
        )
    if any(parameter.is_meta for parameter in hf.parameters()):
        raise InputError(
            f"{name} does not fit on the GPUs and would be read from the disk at each step; "
            "use --bits 8, --bits 4, --dtype bfloat16 or --device cpu"
        )
    unused = tuple(sorted(each for each in report["unexpected_keys"] if not _MASKS.search(each)))
    if unused and not ignore_unused:
        raise InputError(
            f"{name}: its config has no place for {len(unused)} of the weights, {unused[0]} among "
            "them; correct config.json, or give --ignore-unused if they belong to another part"
        )
    return unused


def _shape(sides: tuple[int, ...]) -> str:
    return " × ".join(map(str, sides))


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder.

    Raises:
        InputError: there is none, or it cannot be read; says what to put there or to install.
    """
    from transformers import AutoTokenizer

    found = [file.name for kind in _VOCABULARIES for file in sorted(folder.glob(kind))]
    if not found:
        raise InputError(
            f"{folder.name} has no tokenizer: tokenizer.json is missing; copy it from the folder "
            "that the model came from"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a strange file makes the readers raise anything
        if "tokenizer.json" in found:
            said = str(error).strip().split("\n")[0]
            raise InputError(f"{folder.name}: tokenizer.json cannot be read: {said}") from error
        lacking = [each for each in ("sentencepiece", "protobuf", "tiktoken") if not _has(each)]
        install = f", or pip install {' '.join(lacking)}" if lacking else ""
        raise InputError(
            f"{folder.name}: tokenizer.json is missing and {found[0]} alone cannot be read; put "
            f"tokenizer.json there{install}"
        ) from error
    assert tokenizer is not None
    return tokenizer


def _has(library: str) -> bool:
    """Whether a library is installed."""
    try:
        version(library)
    except PackageNotFoundError:
        return False
    return True
