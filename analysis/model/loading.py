"""Opening a model folder for analysis. Safe formats only; nothing from the folder is executed."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from analysis.errors import InputError, WorkbenchError, first_line
from analysis.model.adapters import (
    CONFIG,
    adapter_sha256,
    check_adapter,
    check_base,
    put_on,
    require_parity,
)
from analysis.model.families import family_of
from analysis.model.info import ModelInfo, Parity
from analysis.model.model import Model
from analysis.model.parity import check_parity, packs_exactly
from analysis.model.parts import Parts
from analysis.model.rope import context_of, forget_lengths
from analysis.model.tokens import check_known
from analysis.model.weights import (
    by_bitsandbytes,
    cast_floats,
    compute_as_numbers,
    described,
    rounding,
    shares_memory,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NO_ADAPTER = {"subfolder": "no-adapter"}
"""Where transformers looks for an adapter to wear unasked: never beside the weights."""
_TEXT = "The sum of two and three is five, and 7 + 1 = 8."


def _say_nothing(message: str) -> None:
    pass


def load_model(
    folder: Path,
    *,
    name: str | None = None,
    source: str | None = None,
    revision: str | None = None,
    dtype: str = "float32",
    bits: int | None = None,
    device: str = "auto",
    adapter: Path | None = None,
    ignore_unused: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Model:
    """Load a Hugging Face model folder (config, safetensors, tokenizer) and check it.

    Args:
        folder: where the files lie.
        name: what to call the model; the folder's name by default.
        source: hub id or file name to record; the folder's name by default.
        revision: revision to record.
        dtype: one of `DTYPES`, what is computed in.
        bits: round the weights to 8 or 4 bits on loading; None: as they are stored.
        device: `auto` (a GPU where there is one, spread over several), or a torch device such as
            `cpu` or `cuda:1`.
        adapter: folder of a PEFT adapter to wear.
        ignore_unused: go on without weights that the config has no place for.
        progress: takes a few words about what is going on.

    Raises:
        InputError: the folder, dtype, bits or device cannot be used.
        WorkbenchError: there is no room for the weights.
    """
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}; choose {', '.join(DTYPES)}")
    usable_device(device)
    if adapter is not None:
        check_adapter(adapter)
    elif (folder / CONFIG).is_file():
        progress(f"{folder.name} also holds an adapter, not worn: --adapter {folder} puts it on")
    tokenizer, hf, facts = _read(
        folder, name or folder.name, dtype, bits, device, ignore_unused, progress
    )
    if adapter is not None:
        check_base(adapter, facts["weights_sha256"])
        compute_as_numbers(hf)
        put_on(hf, adapter)
    hf.train(False)
    hf.requires_grad_(False)
    progress("checking parity")
    facts |= {"source": source or folder.name, "revision": revision, "bits": bits}
    return open_model(hf, tokenizer, name=name or folder.name, adapter=adapter, **facts)


def _read(
    folder: Path,
    name: str,
    dtype: str,
    bits: int | None,
    device: str,
    ignore_unused: bool,
    progress: Callable[[str], None],
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, dict[str, Any]]:
    """The tokenizer and the model of a folder, the files' hashes, and weights left out."""
    from transformers import AutoModelForCausalLM

    config = read_config(folder)
    family = family_of(config.model_type)
    place, spread = usable_device(device), device == "auto" and torch.cuda.device_count() > 1
    given = rounding(config, bits, DTYPES[dtype], name)
    packed = described(config) or (f"{bits}-bit" if bits else "")
    progress(f"loading {name} ({family.name}, {f'{packed} {dtype}'.lstrip()})")
    with ThreadPoolExecutor(max_workers=1) as pool:
        hashes = pool.submit(_hashes, folder)
        tokenizer = read_tokenizer(folder)
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=DTYPES[dtype],
                use_safetensors=True,
                trust_remote_code=False,
                device_map="auto" if spread else str(place) if packed else None,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                adapter_kwargs=_NO_ADAPTER,
                **given,
            )
        except ImportError as error:
            raise InputError(f"{folder.name} needs a library more: {first_line(error)}") from error
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise WorkbenchError(f"no room for {folder.name}: {first_line(error)}") from error
        except Exception as error:  # a strange folder makes transformers raise anything
            raise InputError(f"cannot load {folder.name}: {first_line(error)}") from error
        weights_hash, tokenizer_hash = hashes.result()
    hf: PreTrainedModel = loaded[0]
    unused = check_whole(hf, loaded[1], folder.name, ignore_unused)
    if not (spread or packed):  # packed weights go to their place while they are loaded
        hf.to(place)  # type: ignore[arg-type]
    if by_bitsandbytes(hf.config):
        cast_floats(hf, DTYPES[dtype])
    facts = {
        "weights_sha256": weights_hash,
        "tokenizer_sha256": tokenizer_hash,
        "unused": unused,
    }
    return tokenizer, hf, facts


def open_model(
    hf: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str,
    source: str = "memory",
    adapter: Path | None = None,
    **facts: Any,
) -> Model:
    """Open a transformers model that is already in memory, with its tokenizer.

    One that bitsandbytes quantised must not have run before.

    Args:
        hf: the model.
        tokenizer: its tokenizer.
        name: what to call it.
        source: where it comes from.
        adapter: folder of the adapter that it wears.
        facts: what else `ModelInfo` is to say: revision, hashes, bits, unused weights.

    Raises:
        InputError: its family is not supported.
    """
    compute_as_numbers(hf)
    forget_lengths(hf)
    parts = Parts.find(hf, family_of(hf.config.model_type))
    info = ModelInfo(
        name=name,
        source=source,
        family=parts.family.name,
        architecture=type(hf).__name__,
        adapter=None if adapter is None else adapter.name,
        adapter_sha256=None if adapter is None else adapter_sha256(adapter),
        dtype=str(hf.dtype).removeprefix("torch."),
        weights=described(hf.config),
        device=str(hf.device),
        layers=len(parts.layers),
        heads=parts.heads,
        kv_heads=parts.kv_heads,
        neurons=parts.neurons,
        width=parts.width,
        vocabulary=parts.vocabulary,
        context=context_of(hf.config.get_text_config()),
        parameters=hf.num_parameters(),
        tied=shares_memory(parts.unembedding, parts.embedding),
        parity=Parity(logits=0, residual=0, neurons=0),
        versions=_versions(hf),
        **facts,
    )
    model = Model(hf, tokenizer, parts, info)
    ids = tuple(tokenizer(_TEXT).input_ids)
    check_known(tokenizer, ids, info.vocabulary)
    checks = {"parity": check_parity(model, ids), "packed": packs_exactly(model, ids)}
    model.info = info.model_copy(update=checks)
    if adapter is not None:
        require_parity(model.info, adapter)
    return model


def _versions(hf: PreTrainedModel) -> dict[str, str]:
    """Of Python and of the libraries that compute."""
    libraries = ["torch", "transformers", "polars"]
    libraries += ["bitsandbytes"] * by_bitsandbytes(hf.config)
    return {"python": platform.python_version()} | {each: version(each) for each in libraries}


def read_config(folder: Path) -> PretrainedConfig:
    """The config of a model folder.

    Raises:
        InputError: it has none.
    """
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        line = first_line(error)
        raise InputError(f"{folder.name} has no usable model config: {line}") from error
    return config


def usable_device(name: str) -> torch.device:
    """The device of a setting; `auto` is a GPU where there is one.

    Raises:
        InputError: torch knows no such device, or cannot use it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {first_line(error)}") from error
    return device


def _hashes(folder: Path) -> tuple[str | None, str | None]:
    """SHA-256 over the weight files and over the tokenizer's files, by name order."""
    return _hash(sorted(folder.glob("*.safetensors"))), _hash(sorted(folder.glob("token*")))


def _hash(files: list[Path]) -> str | None:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest() if files else None


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
            said = first_line(error)
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
