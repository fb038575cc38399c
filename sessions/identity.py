"""Whether two records of a model speak of the same one."""

from __future__ import annotations

from analysis.model.info import ModelInfo

_ALWAYS_KNOWN = ("dtype", "architecture", "layers", "heads", "neurons", "width", "vocabulary")


def difference(recorded: ModelInfo, other: ModelInfo) -> str | None:
    """What tells two models apart, in words; None if their numbers may stand side by side.

    The device and the versions of libraries may differ: a session can go on on another machine.
    """
    for field in _ALWAYS_KNOWN:
        before, after = getattr(recorded, field), getattr(other, field)
        if before != after:
            return f"{recorded.name} with {field} {before}, not {other.name} with {after}"
    if recorded.weights != other.weights:
        kept = [each.weights or "float" for each in (recorded, other)]
        return f"{recorded.name} with {kept[0]} weights, not {other.name} with {kept[1]} ones"
    if recorded.adapter_sha256 != other.adapter_sha256:
        worn = [each.adapter or "no adapter" for each in (recorded, other)]
        return f"{recorded.name} wearing {worn[0]}, not {worn[1]}"
    for field, noun in (("weights_sha256", "weights"), ("tokenizer_sha256", "tokenizer")):
        before, after = getattr(recorded, field), getattr(other, field)
        if before and after and before != after:
            return f"the {noun} of {recorded.name} are not those of {other.name}"
    if recorded.weights_sha256 and other.weights_sha256:
        # The same weights under another name are the same model.
        return None
    if recorded.source != other.source:
        return f"{recorded.source}, not {other.source}"
    if recorded.revision and other.revision and recorded.revision != other.revision:
        return f"{recorded.source} at revision {recorded.revision}, not {other.revision}"
    return None


def differing(first: ModelInfo, second: ModelInfo) -> dict[str, tuple[str, str]]:
    """Every fact in which two records of models differ, by its name, versions of libraries too."""
    facts = [_facts(info) for info in (first, second)]
    names = dict.fromkeys([*facts[0], *facts[1]])
    pairs = {name: (facts[0].get(name, "–"), facts[1].get(name, "–")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _facts(info: ModelInfo) -> dict[str, str]:
    plain = info.model_dump(exclude={"parity", "versions"})
    facts = {name: "–" if value is None else str(value) for name, value in plain.items()}
    return facts | {f"version of {name}": version for name, version in info.versions.items()}
