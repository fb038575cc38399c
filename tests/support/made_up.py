"""Results with made-up rows, of steps of several shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from paced_step import PacedStep

from analysis.columns import schema
from analysis.refs import HeadRef
from analysis.step import Step
from analysis.steps import (
    AttendStep,
    CorpusStep,
    DetectStep,
    DirectStep,
    EdgesStep,
    GainsStep,
    InputsStep,
    LensStep,
    PatchStep,
)
from analysis.tasks.corpora import Corpus
from analysis.tasks.prompts import PromptSet
from screens.workspace import InMemory, Result, State

SENTENCE = ("When", " Mary", " and", " John", " went", " to", " the", " store", ",", " John")
PROMPT = PromptSet.single("".join(SENTENCE), " Mary").prompts[0]
PAIR = PROMPT.model_copy(update={"corrupt": PROMPT.prompt[:-4] + "Mary", "wrong": " John"})
ALONE = PromptSet(name="prompt", prompts=(PROMPT,))
PAIRS = PromptSet(name="pair", prompts=(PAIR,))
FOUND = [
    ("embedding", "L0F", "ffn", -0.5, -11.4),
    ("L23H3", "logits", "logits", -6.15, -6.19),
    ("L0F", "L23KV1", "v", -2.87, -3.25),
    ("L20H0", "L20F", "ffn", 2.97, 0.88),
    ("L20F", "L23H3", "q", 0.28, 0.31),
    ("L23H3", "L26F", "ffn", -1.36, -1.2),
    ("L26F", "logits", "logits", -1.0, None),
    ("L20H0", "logits", "logits", 0.49, None),
]
"""Edges of SmolLM2, where three heads share a key/value head; the last two are estimates."""


def result(step: Step, rows: Sequence[dict[str, Any]], state: State = "done") -> Result:
    """A result of these rows; what they leave out is null."""
    frame = pl.DataFrame(rows, schema=schema(step.columns))
    return Result(f"001-{step.kind}", step, state, InMemory(frame), expected=len(rows))


def lens(layers: int = 12, state: State = "done", tokens: Sequence[str] = SENTENCE) -> Result:
    """A logit lens that grows surer upwards, and towards the end of the prompt."""
    rows = [
        {
            "name": f"L{layer}@{place}",
            "layer": layer,
            "position": place,
            "reads": reads,
            "token": " the",
            "prob": (layer + 1) / layers * (place + 1) / len(tokens),
            "answer_prob": 0.01 * place,
            "answer_rank": layers - layer,
        }
        for layer in range(layers)
        for place, reads in enumerate(tokens)
    ]
    return result(LensStep(prompt=PROMPT), rows, state)


def patched(state: State = "done", layers: int = 12, **asked: Any) -> Result:
    """A patch that brings more back the higher it is put, and nothing before the words differ."""
    step = PatchStep(prompts=PromptSet(name="prompt", prompts=(PAIR,)), **asked)
    places = 9 if step.unit == "head" else len(SENTENCE)
    parts = [(layer, place) for layer in range(layers) for place in range(places)]
    rows = [
        {
            "name": f"L{layer}H{place}" if step.unit == "head" else f"L{layer}@{place}",
            "unit": step.unit,
            "layer": layer,
            step.unit if step.unit in ("head", "neuron") else "position": place,
            "token": None if step.unit in ("head", "neuron") else SENTENCE[place],
            "recovered": (layer + 1) / layers if place == places - 1 else 0.0,
            "metric": layer / 2,
        }
        for layer, place in parts
    ]
    other = (*SENTENCE[:-1], " Mary")
    base = {"metric": step.metric or "logit_difference", "clean": 6.1, "corrupt": -5.5}
    tokens = {"tokens": list(SENTENCE), "corrupt_tokens": list(other)}
    return replace(result(step, rows, state), baseline=base | tokens)


def attended(
    heads: Sequence[str] = ("L1H0", "L1H1"),
    tokens: Sequence[str] = SENTENCE,
    prompts: PromptSet = ALONE,
    top: int | None = None,
    shift: int = 0,
    state: State = "done",
) -> Result:
    """Heads that look as many tokens back as their index says and `shift` more, and a little at
    those around; the value there is the longer the later it comes."""
    refs = [HeadRef.parse(each) for each in heads]
    rows: list[dict[str, Any]] = []
    for ref in refs:
        for query in range(len(tokens)):
            back = max(query - ref.index - shift, 0)
            raw = [0.1 ** abs(key - back) for key in range(query + 1)]
            lengths = [each * (key + 1) for key, each in enumerate(raw)]
            strongest = sorted(range(query + 1), key=lambda key: -raw[key])[:top]
            rows += [
                {
                    "name": str(ref),
                    "layer": ref.layer,
                    "head": ref.index,
                    "query": query,
                    "key": key,
                    "query_token": tokens[query],
                    "key_token": tokens[key],
                    "weight": raw[key] / sum(raw),
                    "value_weighted": lengths[key] / sum(lengths),
                }
                for key in strongest
            ]
    made = result(AttendStep(prompts=prompts, heads=tuple(refs)), rows, state)
    return replace(made, baseline={"tokens": list(tokens), "cases": len(prompts), "top": top})


def detected(heads: Sequence[str] = ("L1H0", "L1H1")) -> Result:
    """Patterns of heads, the more of each the higher their index."""
    refs = [HeadRef.parse(each) for each in heads]
    rows = [
        {
            "name": str(ref),
            "layer": ref.layer,
            "head": ref.index,
            "previous": 0.1 + ref.index / 2,
            "duplicate": 0.0,
            "induction": 0.25,
            "first": 0.3,
        }
        for ref in refs
    ]
    return result(DetectStep(), rows)


CONTRARY = PROMPT.model_copy(update={"wrong": " John"})


def taken_apart(layers: int = 12, state: State = "done", **asked: Any) -> Result:
    """An answer that the later layers add to the more, by the head of every second layer."""
    step = DirectStep(prompt=CONTRARY, **asked)
    rows: list[dict[str, Any]] = []
    if step.sources is not None:
        for ref in step.sources:
            named = {"unit": "source", "layer": ref.layer, "head": ref.index}
            rows += [
                named | {"name": f"{ref}@{at}", "position": at, "token": token, "share": at - 4.0}
                for at, token in enumerate(SENTENCE)
            ]
    elif step.unit == "neuron":
        rows = [
            {"unit": "neuron", "name": f"L{at}N{at}", "layer": at, "neuron": at}
            | {"share": 3.0 - at, "tokens": [" Mary", "[red]"]}
            for at in range(5)
        ]
    else:
        rows.append({"unit": "embedding", "name": "embedding", "share": 0.5})
        for at in range(layers):
            rows += [
                {"unit": "head", "name": f"L{at}H{head}", "layer": at, "head": head}
                | {"share": (at - 3.0) * (head == at % 2) / 4}
                for head in range(9)
            ]
            rows.append({"unit": "ffn", "name": f"L{at}F", "layer": at, "share": -at / 8})
    for row in rows:
        share = row.pop("share")
        row |= {"logit_difference": share, "logprob_increase": share / 2}
    total = sum(row["logit_difference"] for row in rows)
    base = {"answer": " Mary", "wrong": [" John"], "tokens": list(SENTENCE)}
    base |= {"metric": "logit_difference", "logit_difference": total, "sum": total, "off": 1e-6}
    base |= {"embedding": 0.5, "heads": 7.5, "ffn": -8.25, "biases": 0.0}
    return replace(result(step, rows, state), baseline=base)


def shaded(state: State = "done") -> Result:
    """Tokens of a prompt, the first of which takes and the last of which adds most."""
    rows = [
        {"name": f"@{at}", "position": at, "token": token}
        | {"integrated": at - 4.0, "gradient_input": 0.25 * at}
        for at, token in enumerate(SENTENCE)
    ]
    base = {"metric": "logit_difference", "logit_difference": 6.1, "at_baseline_input": 1.1}
    base |= {"difference": 5.0, "sum": 4.99, "off": 0.01, "tokens": list(SENTENCE)}
    base |= {"baseline_input": "the mean embedding at every position"}
    return replace(result(InputsStep(prompt=CONTRARY), rows, state), baseline=base)


def gains(layers: int = 12) -> Result:
    """Gains that change their sign from layer to layer."""
    rows = [
        {
            "name": f"L{layer}",
            "layer": layer,
            "attention": math.cos(layer),
            "ffn": -math.cos(layer) / 2,
            "logprob": -2.0 + layer / 10,
        }
        for layer in range(layers)
    ]
    return result(GainsStep(prompt=PROMPT), rows)


def paced(state: State = "done") -> Result:
    """A step that no screen names."""
    rows = [{"name": f"n{number}", "value": number / 4} for number in range(5)]
    return result(PacedStep(), rows, state)


def edges(found: Sequence[tuple[Any, ...]] = FOUND) -> Result:
    """Edges of a pair: source, target, input, score, verified."""
    rows = [
        {
            "name": f"{source}→{target}.{input} {rank}",
            "source": source,
            "target": target,
            "input": input,
            "score": score,
            "verified": verified,
            "rank": rank,
        }
        for rank, (source, target, input, score, verified) in enumerate(found, start=1)
    ]
    baseline = {"metric": "logit_difference", "clean": 6.12, "corrupt": -5.49}
    return replace(result(EdgesStep(prompts=PAIRS), rows), baseline=baseline)


def contexts(
    parts: Sequence[str] = ("L20N3", "L2H1"), state: State = "done", many: int = 4
) -> Result:
    """What parts fire on in a text: on whichever token stands in the middle of a sentence."""
    text = Corpus(name="tale.txt", bytes=900, sha256="0" * 64)
    rows: list[dict[str, Any]] = []

    def add(part: str, kind: str, rank: int, value: float, **more: Any) -> None:
        place = f"{part} {kind} {rank}"
        rows.append({"name": part, "kind": kind, "rank": rank, "value": value, "row": place} | more)

    for part in parts:
        for kind, sign in (("top", 1.0), ("bottom", -1.0), ("sample", 0.5)):
            for rank in range(1, many + 1):
                tokens = [*SENTENCE[:rank], f" {kind}", *SENTENCE[rank:]]
                value = sign * (9.5 - rank)
                context = {
                    "document": rank,
                    "position": 30 + rank,
                    "token": tokens[rank],
                    "context": "".join(tokens),
                    "tokens": tokens,
                    "values": [value if place == rank else 0.1 * sign for place in range(11)],
                    "at": rank,
                }
                add(part, kind, rank, value, **context)
        for kind, words in (("fires", (" eight", "8")), ("next", (" of",))):
            for rank, token in enumerate(words, start=1):
                add(part, kind, rank, 312.0 / rank, token=token, count=7)
        for percent, value in ((1, -0.6), (50, 0.1), (99, 3.2)):
            add(part, "quantile", percent, value)
        add(part, "share", 1, 0.01, count=20)
    step = CorpusStep(parts=tuple(parts), text=text)
    return result(step, rows, state)
