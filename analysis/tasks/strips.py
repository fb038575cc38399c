"""The two prompts of a case under each other, token by token."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import InputError

NO_CORRUPT = "there is no corrupt prompt; give the case one of as many tokens"


@dataclass(frozen=True)
class Strips:
    """The tokens of a prompt and of its corrupt prompt, as texts."""

    prompt: tuple[str, ...]
    corrupt: tuple[str, ...]
    differing: tuple[int, ...]
    """Positions at which the tokens differ; those that only the longer one has are among them."""

    @property
    def equally_long(self) -> bool:
        """Whether what happens at a position of one prompt can be put at the same of the other."""
        return len(self.prompt) == len(self.corrupt)

    @property
    def first(self) -> int | None:
        """The first position at which they differ; None: they do not."""
        return self.differing[0] if self.differing else None


class UnequalPrompts(InputError):
    """A prompt and its corrupt prompt differ in length. `strips` shows where they part."""

    strips: Strips

    @classmethod
    def of(cls, strips: Strips) -> UnequalPrompts:
        """The refusal of a case."""
        error = cls(
            f"the prompt has {len(strips.prompt)} tokens and the corrupt prompt "
            f"{len(strips.corrupt)}; both need the same number, and first differ at position "
            f"{strips.first}"
        )
        error.strips = strips
        return error
