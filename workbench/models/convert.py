"""GGUF to a Hugging Face folder of exactly the dequantised float32 tensors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from analysis.errors import InputError, WorkbenchError
from workbench.models.gguf_config import adds_bos, config_of, regroup
from workbench.models.store import EDITION, Manifest, Progress

if TYPE_CHECKING:
    from gguf import GGUFReader

_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself."""

    name: str
    licence: str
    architecture: str
    tensors: tuple[str, ...]
    elements: int
    """Numbers in all tensors together."""


Converter: TypeAlias = Callable[[Path, Path, Progress], Header]
"""Converts a GGUF file into an empty folder."""


def is_gguf(file: Path) -> bool:
    """Whether a file starts as GGUF files do."""
    with file.open("rb") as stream:
        return stream.read(4) == _MAGIC


def read_header(file: Path) -> Header:
    """Read a GGUF file's metadata and check that it can be converted exactly.

    Raises:
        InputError: not a GGUF file, cut short, or of a kind that cannot be converted.
    """
    if not is_gguf(file):
        raise InputError(f"{file.name} is not a GGUF file")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        header = Header(
            name=str(_field(reader, "general.name") or file.stem),
            licence=str(_field(reader, "general.license") or "unknown"),
            architecture=str(_field(reader, "general.architecture") or "unknown"),
            tensors=tuple(tensor.name for tensor in reader.tensors),
            elements=sum(int(tensor.n_elements) for tensor in reader.tensors),
        )
    except Exception as error:  # the reader trusts its file: a damaged one can raise anything
        raise InputError(f"{file.name} is damaged or cut short; fetch it again") from error
    if int(_field(reader, "split.count") or 1) > 1:
        raise InputError(f"{file.name} is one part of a split GGUF; join the parts into one file")
    kind, factor, older = (
        _field(reader, f"{header.architecture}.rope.{key}")
        for key in ("scaling.type", "scaling.factor", "scale_linear")
    )
    scaled = kind != "none" if kind else (factor or older or 1.0) != 1.0
    if scaled or "rope_freqs.weight" in header.tensors:
        raise InputError(
            f"{file.name} scales its rotary positions, which cannot be carried over exactly; "
            "use the model's original Hugging Face folder"
        )
    return header


def convert_gguf(file: Path, into: Path, progress: Progress) -> Header:
    """Write config, tokenizer and float32 safetensors of a GGUF file into a folder.

    Args:
        file: a GGUF file that `read_header` accepts.
        into: an empty folder.
        progress: told in a few words what is going on.

    Returns:
        What the file says about itself.

    Raises:
        InputError: the file cannot be converted exactly.
        WorkbenchError: no room on the disk.
    """
    header = read_header(file)
    needed, free = header.elements * 4, shutil.disk_usage(into).free
    if needed > free:
        raise WorkbenchError(
            f"converting {file.name} needs {needed / 1e9:.1f} GB on disk, {free / 1e9:.1f} are free"
        )
    progress(f"converting {file.name} to float32 (once)")
    from workbench.quiet import quiet_libraries

    with quiet_libraries():
        try:
            _convert(file, into)
        except Exception as error:  # a strange file makes transformers raise anything
            if isinstance(error, WorkbenchError) or getattr(error, "errno", None):
                raise
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(f"{file.name} cannot be converted: {reason}") from error
    written = _elements_written(into)
    if written != header.elements:
        raise InputError(
            f"{file.name} cannot be converted exactly: it holds {header.elements:,} numbers, "
            f"{written:,} were carried over ({header.architecture})"
        )
    return header


def manifest_of(
    *, name: str, source: str, source_sha256: str, licence: str, parameters: int
) -> Manifest:
    """The record of a folder that `convert_gguf` makes."""
    return Manifest(
        name=name,
        source=source,
        source_sha256=source_sha256,
        licence=licence,
        parameters=parameters,
        edition=EDITION,
        made_with={each: version(each) for each in ("transformers", "gguf", "torch")},
    )


def _convert(file: Path, into: Path) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    from analysis.changing.saving import mark_as_floats

    reader = GGUFReader(file)
    value = partial(_field, reader)
    found = load_gguf_checkpoint(file)["config"]
    config = config_of(found, value, {tensor.name for tensor in reader.tensors})
    given: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        file.parent,
        config=AutoConfig.for_model(**config),
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **given,
    )
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:  # these would have been filled with random numbers
        raise ValueError(f"it lacks {len(missing)} tensors, {missing[0]} among them")
    if mismatched := sorted(report["mismatched_keys"]):
        raise ValueError(f"{mismatched[0][0]} has not the shape that its metadata says")
    regroup(model, value)
    mark_as_floats(model)
    model.save_pretrained(into)
    bos = adds_bos(value)
    given |= {} if bos is None else {"add_bos_token": bos}
    AutoTokenizer.from_pretrained(file.parent, **given).save_pretrained(into)


def _elements_written(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping: it cannot be iterated itself)
                count = 1
                for side in tensors.get_slice(name).get_shape():
                    count *= side
                total += count
    return total


def _field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()
