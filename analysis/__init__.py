"""The numbers: torch in, Polars frames out. Knows no terminal and no disk layout."""
