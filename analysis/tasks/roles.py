"""What the positions of a case are to it: the answer's place in the prompt, where two prompts part.

Cases of different words are averaged by these, as attention over all of them is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

ANSWER, WRONG, DIFFERS = "answer", "wrong answer", "differs"
FIRST, LAST, REST = "first", "last", "rest"
EARLIER = "earlier"
"""All positions farther from the end than those that are counted one by one."""


def roles_of(
    tokens: Sequence[str],
    answers: Collection[str] = (),
    wrongs: Collection[str] = (),
    differing: Collection[int] = (),
    names: Mapping[str, str] | None = None,
    given: Mapping[int, str] | None = None,
) -> list[str]:
    """What each position of a prompt is; of several that it could be, the first named here.

    What the case says itself; the last one; where the corrupt prompt differs; where the answer or a
    wrong answer stands; what stands behind one of these; the first one; the rest.

    Args:
        tokens: the prompt.
        answers: the first tokens of what is right, as texts.
        wrongs: those of the wrong answers.
        differing: positions at which the corrupt prompt has other tokens.
        names: what a task calls some of these roles.
        given: the roles that the case names, by position.
    """
    given = given or {}
    right, false = ({each.strip() for each in texts} - {""} for texts in (answers, wrongs))
    found: list[str | None] = []
    for place, token in enumerate(tokens):
        text = token.strip()
        role = ANSWER if text in right else WRONG if text in false else None
        found.append(DIFFERS if place in differing else role)
    known = [
        given.get(place, None if each is None else (names or {}).get(each, each))
        for place, each in enumerate(found)
    ]
    roles = [
        own or (f"behind {before}" if before else REST)
        for own, before in zip(known, [None, *known], strict=False)
    ]
    if roles[0] == REST:
        roles[0] = FIRST
    return [*roles[:-1], given.get(len(roles) - 1, LAST)]


def is_told(roles: Collection[str]) -> bool:
    """Whether these say more of a prompt than where it begins and ends."""
    return bool(set(roles) - {FIRST, LAST, REST})


def from_the_end(count: int, most: int) -> list[str]:
    """Each of so many positions by how far it is from the end, −1 the last, at most so many."""
    return [f"−{left}" if left <= most else EARLIER for left in range(count, 0, -1)]


def in_order(cases: Sequence[Sequence[str]]) -> list[str]:
    """All roles of several cases, in the order in which they are read on average."""
    places: dict[str, list[float]] = {}
    for roles in cases:
        for place, role in enumerate(roles):
            places.setdefault(role, []).append(place / len(roles))
    return sorted(places, key=lambda role: sum(places[role]) / len(places[role]))
