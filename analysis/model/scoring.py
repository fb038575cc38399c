"""How well answers are predicted: log-probability and exact match of every answer token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.model.packing import Pack
from analysis.model.tokens import Encoded
from analysis.progress import checkpoint
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

    def summary(self, row: int) -> dict[str, Any]:
        """Means over the prompts, and the prompts' own values, of one run."""
        logprob = self.logprob[row].double()
        return {
            "accuracy": self.correct[row].double().mean().item(),
            "logprob": logprob.mean().item(),
            "prob": logprob.exp().mean().item(),
            "prompt_logprob": self.logprob[row].tolist(),
            "prompt_correct": self.correct[row].tolist(),
        }


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


def per_prompt(logprob: Tensor, correct: Tensor, lengths: Sequence[int]) -> Scores:
    """Join answer tokens [B, s] into answers [B, P]."""
    logprobs = [part.sum(-1) for part in logprob.split(list(lengths), -1)]
    corrects = [part.all(-1) for part in correct.split(list(lengths), -1)]
    return Scores(torch.stack(logprobs, -1).cpu(), torch.stack(corrects, -1).cpu())


def score_pack(model: Model, packed: Pack, final: Tensor) -> Scores:
    """Score the final residual [B, n, d] of B runs over a pack."""
    logprob, correct = score_tokens(model.logits(final[:, packed.scored]), packed.targets)
    return per_prompt(logprob, correct, packed.lengths)


@torch.no_grad()
def with_answers(model: Model, prompts: Sequence[Prompt]) -> list[Encoded]:
    """Encode prompts; one without an answer gets the model's own top prediction."""
    encoded = [model.encode(prompt) for prompt in prompts]
    return [each if each.answer_ids else _with_top_prediction(model, each) for each in encoded]


def _with_top_prediction(model: Model, encoded: Encoded) -> Encoded:
    checkpoint()
    tokens = torch.tensor([encoded.ids], device=model.device)
    _, final = model.run(tokens)
    return replace(encoded, answer_ids=(int(model.logits(final[0, -1]).argmax()),))
