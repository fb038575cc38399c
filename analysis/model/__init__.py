"""A Hugging Face model as the analyses see it: its parts found, its runs checked."""
