"""Clean runs of prompts and how well their answers are predicted, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.model.forward import LayerCall, resumed
from analysis.model.packing import Pack, side_by_side, wanted
from analysis.model.tokens import Encoded, check_apart
from analysis.options import naming
from analysis.progress import checkpoint, told
from analysis.tasks.metrics import Metric
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model


@dataclass(frozen=True)
class Scores:
    """Outcome of B runs on P prompts."""

    logprob: Tensor
    """[B, P] log-probability of the whole answer, in nats, float32 on the CPU."""
    correct: Tensor
    """[B, P] whether every answer token is the argmax given the ones before it."""
    logit_difference: Tensor | None = None
    """[B, P] `logit_difference` behind the prompt, NaN of a prompt with no wrong answer; None: none
    has one."""

    def rows(self, which: Tensor) -> Scores:
        """Some of the runs, in another order."""
        difference = self.logit_difference
        return Scores(
            self.logprob[which],
            self.correct[which],
            None if difference is None else difference[which],
        )

    def measure(self, metric: Metric) -> Tensor:
        """A metric [B, P] float32, which gradients pass through unless it is accuracy."""
        if metric == "logit_difference":
            assert self.logit_difference is not None
            return self.logit_difference
        if metric == "accuracy":
            return self.correct.float()
        return self.logprob if metric == "logprob" else self.logprob.exp()

    def summary(self, row: int) -> dict[str, Any]:
        """Means over the prompts, and the prompts' own values, of one run."""
        logprob = self.logprob[row].double()
        found = {
            "accuracy": self.correct[row].double().mean().item(),
            "logprob": logprob.mean().item(),
            "prob": logprob.exp().mean().item(),
            "prompt_logprob": self.logprob[row].tolist(),
            "prompt_correct": self.correct[row].tolist(),
        }
        if self.logit_difference is not None:
            each = self.logit_difference[row].double()
            found["logit_difference"] = each.nanmean().item()
            found["prompt_logit_difference"] = [
                None if value != value else value for value in each.tolist()
            ]
        return found


def score_tokens(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability and argmax match [..., s] of target tokens under logits [..., s, V].

    Args:
        logits: of the predictions.
        targets: [..., s, a] tokens of which any is right; −1 is none.
    """
    logits = logits.float()
    wanted = targets.expand(*logits.shape[:-1], -1)
    right = (logits.argmax(-1, keepdim=True) == wanted).any(-1)
    return log_any(logits, wanted) - torch.logsumexp(logits, -1), right


def log_any(logits: Tensor, tokens: Tensor) -> Tensor:
    """logsumexp [...] over the logits [..., V] of tokens [..., a]; −1 is none."""
    chosen = logits.gather(-1, tokens.clamp_min(0)).masked_fill(tokens < 0, -torch.inf)
    return torch.logsumexp(chosen, -1)


def logit_difference(logits: Tensor, answers: Tensor, wrong: Tensor) -> Tensor:
    """Mean logit of the answers' first tokens less that of the wrong ones' [...].

    Args:
        logits: [..., V] behind the prompt.
        answers: [..., a] first tokens of the answers; −1 is none.
        wrong: [..., w] those of the wrong ones; where there is none the difference is NaN.
    """
    return _mean_logit(logits, answers) - _mean_logit(logits, wrong)


def _mean_logit(logits: Tensor, tokens: Tensor) -> Tensor:
    wanted = tokens.expand(*logits.shape[:-1], -1)
    chosen = logits.float().gather(-1, wanted.clamp_min(0)).masked_fill(wanted < 0, 0)
    return chosen.sum(-1) / (wanted >= 0).sum(-1)


def per_prompt(logprob: Tensor, correct: Tensor, lengths: Sequence[int]) -> Scores:
    """Join answer tokens [B, s] into answers [B, P]."""
    logprobs = [part.sum(-1) for part in logprob.split(list(lengths), -1)]
    corrects = [part.all(-1) for part in correct.split(list(lengths), -1)]
    return Scores(torch.stack(logprobs, -1).cpu(), torch.stack(corrects, -1).cpu())


def score_pack(model: Model, packed: Pack, final: Tensor) -> Scores:
    """Score the final residual [B, n, d] of B runs over a pack."""
    return score_logits(model.logits(final[:, packed.scored]), packed)


def score_logits(logits: Tensor, packed: Pack) -> Scores:
    """Score the logits [B, s, V] of B runs where answers of a pack are predicted."""
    logprob, correct = score_tokens(logits, packed.targets)
    scores = per_prompt(logprob, correct, packed.lengths)
    if packed.wrong is None:
        return scores
    first = packed.first_scored
    difference = logit_difference(logits[:, first], packed.targets[first], packed.wrong)
    return replace(scores, logit_difference=difference.cpu())


@dataclass(frozen=True)
class Targets:
    """What runs of C prompts are measured by, whose answers have equally many tokens t."""

    answers: Tensor
    """[C, t, a] tokens of which any is right; −1 is none."""
    wrong: Tensor
    """[C, w] first tokens of wrong answers; −1 is none."""

    @classmethod
    def of(cls, encoded: Sequence[Encoded], device: torch.device) -> Targets:
        """Those of some prompts."""
        answers = side_by_side([each for one in encoded for each in wanted(one)])
        return cls(
            answers.reshape(len(encoded), -1, answers.shape[-1]).to(device),
            side_by_side([each.wrong for each in encoded]).to(device),
        )

    def measure(self, metric: Metric, logits: Tensor, cases: Tensor | None = None) -> Tensor:
        """A metric [B] float32 of runs, which gradients pass through unless it is accuracy.

        Args:
            metric: which.
            logits: [B, t, V] where the answers' tokens are predicted.
            cases: [B] which of the prompts; None: all in order.
        """
        every = slice(None) if cases is None else cases.to(self.answers.device)
        answers = self.answers[every]
        if metric == "logit_difference":
            return logit_difference(logits[:, 0], answers[:, 0], self.wrong[every])
        logprob, correct = score_tokens(logits, answers)
        if metric == "accuracy":
            return correct.all(-1).float()
        return logprob.sum(-1) if metric == "logprob" else logprob.sum(-1).exp()


@torch.no_grad()
def with_answers(model: Model, prompts: Sequence[Prompt]) -> list[Encoded]:
    """Encode prompts; one without an answer gets the model's own top prediction."""
    encoded = []
    for number, prompt in enumerate(prompts, start=1):
        with naming(f"case {number}") if len(prompts) > 1 else nullcontext():
            encoded.append(model.encode(prompt))
            if not encoded[-1].answer_ids:
                encoded[-1] = _with_top_prediction(model, encoded[-1])
    return encoded


def _with_top_prediction(model: Model, encoded: Encoded) -> Encoded:
    checkpoint()
    tokens = torch.tensor([encoded.ids], device=model.device)
    _, final = model.run(tokens)
    found = replace(encoded, answer_ids=(int(model.logits(final[0, -1]).argmax()),))
    check_apart(model.tokenizer, found)
    return found


@dataclass(frozen=True)
class CleanPass:
    """The intact model on one pack."""

    packed: Pack
    calls: list[LayerCall]
    final: Tensor
    """[1, n, d] leaving the last layer."""

    def again(self, lowest: int, rows: int = 1) -> Tensor:
        """What leaves the last layer [rows, n, d] of the model as it is now.

        Only the layers from `lowest` up are run: below it nothing may have been changed.
        """
        entering = self.calls[lowest].entering.expand(rows, -1, -1)
        return resumed(self.calls[lowest:], entering).to(self.final.device)


def clean_passes(model: Model, encoded: Sequence[Encoded]) -> list[CleanPass]:
    """Run the intact model on all prompts, pack by pack."""
    passes = []
    for packed in told(model.packs(encoded), "intact runs"):
        calls, final = model.run_packed(packed)
        passes.append(CleanPass(packed, calls, final))
    return passes


def intact_scores(model: Model, passes: Sequence[CleanPass]) -> Scores:
    """Scores [1, P] of the intact model."""
    return join([score_pack(model, each.packed, each.final) for each in passes])


def join(parts: Sequence[Scores]) -> Scores:
    """Scores of consecutive packs as one."""
    logprob = torch.cat([part.logprob for part in parts], -1)
    differences = [part.logit_difference for part in parts]
    known = [
        torch.full_like(part.logprob, torch.nan) if each is None else each
        for part, each in zip(parts, differences, strict=True)
    ]
    return Scores(
        logprob,
        torch.cat([part.correct for part in parts], -1),
        None if all(each is None for each in differences) else torch.cat(known, -1),
    )


@torch.no_grad()
def scored(model: Model, encoded: Sequence[Encoded]) -> Scores:
    """Scores [1, P] of the model as it is now; nothing of the runs is kept."""
    scores = []
    for packed in model.packs(encoded):
        checkpoint()
        scores.append(score_pack(model, packed, model.run_packed(packed)[1]))
    return join(scores)
