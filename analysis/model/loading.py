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

from analysis.errors import InputError, WorkbenchError
from analysis.model.adapters import (
    CONFIG,
    adapter_sha256,
    check_adapter,
    check_base,
    put_on,
    require_parity,
)
from analysis.model.families import Family, family_of
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
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
    progress: Callable[[str], None] = _say_nothing,
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
        progress: told in a few words what is going on.

    Raises:
        InputError: the folder, dtype, bits or device cannot be used.
        WorkbenchError: there is no room for the weights.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}; choose {', '.join(DTYPES)}")
    place = usable_device(device)
    spread = device == "auto" and torch.cuda.device_count() > 1
    if adapter is not None:
        check_adapter(adapter)
    elif (folder / CONFIG).is_file():
        progress(f"{folder.name} also holds an adapter, not worn: --adapter {folder} puts it on")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder.name} has no usable model config: {_line(error)}") from error
    family = family_of(config.model_type)
    given = rounding(config, bits, DTYPES[dtype], name or folder.name)
    packed = described(config) or (f"{bits}-bit" if bits else "")
    with ThreadPoolExecutor(max_workers=1) as pool:
        hashes = pool.submit(_hashes, folder)
        kept = f"{packed} {dtype}".lstrip()
        progress(f"loading {name or folder.name} ({family.name}, {kept})")
        try:
            tokenizer = read_tokenizer(folder)
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
            raise InputError(f"{folder.name} needs a library more: {_line(error)}") from error
        except InputError:
            raise
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise WorkbenchError(f"no room for {folder.name}: {_line(error)}") from error
        except Exception as error:  # a strange folder makes transformers raise anything
            raise InputError(f"cannot load {folder.name}: {_line(error)}") from error
        weights_hash, tokenizer_hash = hashes.result()
    hf: PreTrainedModel = loaded[0]
    unused = check_whole(hf, loaded[1], folder.name, ignore_unused)
    if not (spread or packed):  # packed weights go to their place while they are loaded
        hf.to(place)  # type: ignore[arg-type]
    if by_bitsandbytes(hf.config):
        cast_floats(hf, DTYPES[dtype])
    if adapter is not None:
        check_base(adapter, weights_hash)
        compute_as_numbers(hf)
        put_on(hf, adapter)
    hf.train(False)
    hf.requires_grad_(False)
    progress("checking parity")
    return open_model(
        hf,
        tokenizer,
        family=family,
        name=name or folder.name,
        source=source or folder.name,
        revision=revision,
        weights_sha256=weights_hash,
        tokenizer_sha256=tokenizer_hash,
        bits=bits,
        adapter=adapter,
        unused=unused,
    )


def open_model(
    hf: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str,
    family: Family | None = None,
    source: str = "memory",
    revision: str | None = None,
    weights_sha256: str | None = None,
    tokenizer_sha256: str | None = None,
    bits: int | None = None,
    adapter: Path | None = None,
    unused: tuple[str, ...] = (),
) -> Model:
    """Open a transformers model that is already in memory, with its tokenizer.

    One that bitsandbytes quantised must not have run before.

    Raises:
        InputError: its family is not supported.
    """
    config = hf.config.get_text_config()
    compute_as_numbers(hf)
    forget_lengths(hf)
    parts = Parts.find(hf, family or family_of(hf.config.model_type))
    libraries = ["torch", "transformers", "polars"]
    libraries += ["bitsandbytes"] * by_bitsandbytes(hf.config)
    info = ModelInfo(
        name=name,
        source=source,
        revision=revision,
        family=parts.family.name,
        architecture=type(hf).__name__,
        adapter=None if adapter is None else adapter.name,
        adapter_sha256=None if adapter is None else adapter_sha256(adapter),
        weights_sha256=weights_sha256,
        tokenizer_sha256=tokenizer_sha256,
        dtype=str(hf.dtype).removeprefix("torch."),
        weights=described(hf.config),
        bits=bits,
        unused=unused,
        device=str(hf.device),
        layers=len(parts.layers),
        heads=parts.heads,
        kv_heads=parts.kv_heads,
        neurons=parts.neurons,
        width=parts.width,
        vocabulary=parts.vocabulary,
        context=context_of(config),
        parameters=hf.num_parameters(),
        parity=Parity(logits=0, residual=0, neurons=0),
        versions={
            "python": platform.python_version(),
            **{each: version(each) for each in libraries},
        },
    )
    model = Model(hf, tokenizer, parts, info)
    ids = tuple(tokenizer(_TEXT).input_ids)
    check_known(tokenizer, ids, info.vocabulary)
    checks = {"parity": check_parity(model, ids), "packed": packs_exactly(model, ids)}
    model.info = info.model_copy(update=checks)
    if adapter is not None:
        require_parity(model.info, adapter)
    return model


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
        raise InputError(f"device {name!r} cannot be used: {_line(error)}") from error
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


def _line(error: BaseException) -> str:
    """The first line of another library's message."""
    return str(error).strip().split("\n")[0]


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
