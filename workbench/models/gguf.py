"""GGUF to a Hugging Face folder of exactly the dequantised float32 tensors.

What a file says about its model and transformers leaves at its defaults is read here. The rules for
what a file need not say are those of llama.cpp, which such files are written for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from analysis.errors import InputError, WorkbenchError
from workbench.models.store import EDITION, Manifest, Progress

if TYPE_CHECKING:
    from gguf import GGUFReader
    from torch import Tensor, nn


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
        progress: called with a few words that say what is going on.

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
    from workbench.logs import quiet_libraries

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


ADDS_BOS = frozenset(
    {
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
        "tekken",
        "chameleon",
    }
)
"""Values of `tokenizer.ggml.pre` whose byte-level vocabularies begin every text with BOS unless the
file says otherwise (llama.cpp, `src/llama-vocab.cpp`)."""

ValueOf = Callable[[str], Any]
"""A value of the file by its key; None where it has none."""


def adds_bos(value: ValueOf) -> bool | None:
    """Whether a text begins with BOS; None: transformers knows by itself."""
    said = value("tokenizer.ggml.add_bos_token")
    if said is not None or value("tokenizer.ggml.model") != "gpt2":
        return None if said is None else bool(said)
    return value("tokenizer.ggml.pre") in ADDS_BOS and (
        value("tokenizer.ggml.bos_token_id") is not None
    )


def config_of(found: dict[str, Any], value: ValueOf, tensors: Collection[str]) -> dict[str, Any]:
    """The config of a file, where transformers' reader has found only part of it.

    Args:
        found: what transformers read.
        value: the file's own values.
        tensors: names of the file's tensors.
    """
    architecture = value("general.architecture")

    def own(key: str, default: Any = None) -> Any:
        said = value(f"{architecture}.{key}")
        return default if said is None else said

    if found["model_type"] == "mistral":  # a llama by another name, that cannot be read by it
        found["model_type"] = "llama"
    found["tie_word_embeddings"] = "output.weight" not in tensors
    for token, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        found[f"{token}_token_id"] = value(f"tokenizer.ggml.{key}_token_id")
    if more := _MORE.get(architecture):
        found |= more(own, tensors)
    return found


def regroup(hf: nn.Module, value: ValueOf) -> None:
    """Put Falcon's queries, keys and values, one after another in the file, in groups again."""
    import torch

    heads, groups = (value(f"falcon.attention.head_count{kind}") for kind in ("", "_kv"))
    if value("general.architecture") != "falcon" or groups in (None, 1):
        return

    def grouped(stored: Tensor) -> Tensor:
        size = len(stored) // (heads + 2 * groups)
        parts = stored.split([heads * size, groups * size, groups * size])
        each = [part.reshape(groups, -1, *stored.shape[1:]) for part in parts]
        return torch.cat(each, 1).reshape(stored.shape)

    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if ".query_key_value." in name:
                parameter.copy_(grouped(parameter))


Own = Callable[..., Any]


def _head(own: Own) -> int:
    return int(own("attention.key_length", own("embedding_length") // own("attention.head_count")))


def _rope(own: Own, partly: bool = False) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": own("rope.freq_base", 10_000.0)}
    if partly:
        rope["partial_rotary_factor"] = own("rope.dimension_count", _head(own)) / _head(own)
    return {"rope_parameters": rope}


def _llama(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    return {"head_dim": _head(own)} | _rope(own)


def _phi3(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    window = own("attention.sliding_window") or None
    return {"sliding_window": window} | _rope(own, partly=True)


def _stablelm(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    if any(name.endswith("attn_q_norm.weight") for name in tensors):
        raise InputError("transformers does not read StableLM with norms of queries and keys")
    return _rope(own, partly=True)


def _gpt2(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    return {"n_positions": own("context_length"), "n_inner": own("feed_forward_length")}


def _falcon(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    heads, groups = own("attention.head_count"), own("attention.head_count_kv", 1)
    two_norms = any("attn_norm_2" in name for name in tensors)
    new = two_norms or groups not in (1, heads)
    return {
        "new_decoder_architecture": new,
        "num_ln_in_parallel_attn": (2 if two_norms else 1) if new else None,
        "num_kv_heads": groups,
        "multi_query": groups == 1,
        "parallel_attn": True,
        "bias": any("attn_qkv.bias" in name for name in tensors),
        "ffn_hidden_size": own("feed_forward_length"),
        "layer_norm_epsilon": own("attention.layer_norm_epsilon", 1e-5),
    } | _rope(own)


def _gemma2(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    return {
        "head_dim": _head(own),
        "query_pre_attn_scalar": _scale(own, largest=46),
        "attn_logit_softcapping": own("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": own("final_logit_softcapping", 30.0),
    } | _rope(own)


def _gemma3(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    near = {"rope_type": "default", "rope_theta": own("rope.freq_base_swa", 10_000.0)}
    far = {"rope_type": "default", "rope_theta": own("rope.freq_base", 1_000_000.0)}
    return {
        "head_dim": _head(own),
        "query_pre_attn_scalar": _scale(own, largest=62),
        "final_logit_softcapping": own("final_logit_softcapping"),
        "rope_parameters": {"full_attention": far, "sliding_attention": near},
    }


def _scale(own: Own, largest: int) -> int:
    """Attention is scaled by the head's width; in the 27B models, known by their layers, not."""
    if own("block_count") == largest:
        return int(own("embedding_length") // own("attention.head_count"))
    return _head(own)


_MORE: dict[str, Callable[[Own, Collection[str]], dict[str, Any]]] = {
    "llama": _llama,
    "qwen2": lambda own, tensors: _rope(own),
    "qwen3": _llama,
    "phi3": _phi3,
    "stablelm": _stablelm,
    "gpt2": _gpt2,
    "falcon": _falcon,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
}
