"""Exports of every family read by an older transformers: same token ids, same logits.

Not part of the tests, as it needs a second environment. To make one and run it, from the root:

    python -m venv older && older/bin/pip install 'transformers==4.57.*' torch
    .venv/bin/python tests/support/older_transformers.py older/bin/python
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

TEXT = "The sum of two and three is five, and 7 + 1 = 8."
TOLERANCE = 1e-5
"""Largest difference of a logit: the versions may add in another order."""


def read(folder: Path) -> tuple[list[int], torch.Tensor]:
    """What the transformers at hand makes of a folder: ids of the text, and its logits.

    Attention is computed plainly: version 4 forgets some parts of it (the soft cap of Gemma 2)
    otherwise, whoever wrote the folder.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    text = TEXT
    if words.chat_template:
        text = words.apply_chat_template([{"role": "user", "content": TEXT}], tokenize=False)
    inputs = words(text, return_tensors="pt")
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        return inputs.input_ids[0].tolist(), model(**inputs).logits[0]


def export_all(into: Path) -> dict[Path, Path]:
    """For each tiny model's folder the one that the workbench makes of it."""
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "analysis")]
    from exports import CASES, TOKENIZERS, base, exported
    from tiny import named

    made = {case.name: (case, None) for case in CASES}
    made |= {f"{words} tokenizer": (named("llama"), words) for words in TOKENIZERS}
    folders = {
        base(case, into / "bases" / name, words): into / name
        for name, (case, words) in made.items()
    }
    return {source: exported(source, folder) for source, folder in folders.items()}


def main() -> int:
    """Export, read here, have the older version read, compare."""
    if sys.argv[1] == "--read":
        for line in sys.stdin:
            folder = Path(line.strip())
            try:
                ids, logits = read(folder)
                answer = {"ids": ids, "logits": logits.tolist()}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            (folder / "older.json").write_text(json.dumps(answer))
        return 0
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        folders = export_all(Path(place))
        names = "\n".join(map(str, folders.values()))
        command = [sys.argv[1], __file__, "--read"]
        subprocess.run(command, input=names, text=True, check=True)
        for source, folder in folders.items():
            older = json.loads((folder / "older.json").read_text())
            verdict = older.get("error") or compared(source, older)
            wrong += bool(verdict)
            print(f"{folder.name:24} {verdict or 'the same'}")
    print(f"{wrong} of {len(folders)} read otherwise")
    return bool(wrong)


def compared(source: Path, older: dict[str, Any]) -> str:
    """In what the older version's reading of an export differs from ours of its base."""
    ids, logits = read(source)
    if older["ids"] != ids:
        return "other token ids"
    apart = (torch.tensor(older["logits"]) - logits).abs().max().item()
    return f"logits {apart:.1e} apart" if apart > TOLERANCE else ""


if __name__ == "__main__":
    sys.exit(main())
