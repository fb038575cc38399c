"""Adapters from the command line: worn, compared, recorded, and refused."""

from __future__ import annotations

import pytest
from command_lines import CASE
from tiny_folder import write_tiny_adapter

from sessions import Session


@pytest.fixture(scope="module")
def adapter(tiny_folder, tmp_path_factory):
    """A LoRA adapter for the tiny model, called `lora`."""
    return write_tiny_adapter(tiny_folder, tmp_path_factory.mktemp("adapters") / "lora", "v_proj")


def test_a_command_on_an_adapted_model_says_so_in_its_document_and_record(on_tiny, adapter):
    worn = on_tiny("heads", *CASE, "--adapter", adapter, "--json").document
    bare = on_tiny("heads", *CASE, "--json").document
    assert worn["model"]["adapter"] == "lora"
    assert bare["model"]["adapter"] is None
    assert worn["baseline"]["logprob"] != pytest.approx(bare["baseline"]["logprob"], abs=1e-3)
    assert Session.open(worn["step"]["session"]).info.model.adapter_sha256


def test_a_session_of_the_model_below_takes_no_step_of_the_adapted_one(
    on_tiny, workbench, tiny, adapter
):
    on_tiny("project", "L0N0", "--session", "mine", "--json")
    command = ["neurons", *CASE, "--adapter", adapter, "--session", "mine"]
    outcome = workbench(*command, *tiny)
    assert outcome.code == 2
    assert "tiny wearing no adapter, not lora" in outcome.err


@pytest.mark.parametrize("command", ["heads", "cna"])
def test_what_is_no_adapter_is_refused_in_one_line(refused, tiny_folder, tmp_path, command):
    line = refused(command, *CASE, "--adapter", tmp_path, "--model", tiny_folder)
    assert line.startswith(f"{tmp_path} is not an adapter folder")
