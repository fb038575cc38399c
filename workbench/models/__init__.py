"""Where models come from: the catalogue, hub ids, local folders and GGUF files.

Importing this loads neither torch nor transformers; converting a file does, when it happens.
"""

from workbench.models.catalogue import CATALOGUE, CatalogueEntry, CatalogueModel, catalogue, fetch
from workbench.models.resolve import ResolvedModel, resolve, snapshot
from workbench.models.store import verify

__all__ = [
    "CATALOGUE",
    "CatalogueEntry",
    "CatalogueModel",
    "ResolvedModel",
    "catalogue",
    "fetch",
    "resolve",
    "snapshot",
    "verify",
]
