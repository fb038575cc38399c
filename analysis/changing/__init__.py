"""Changing a model and measuring what that did: training, pruning, edits of weights."""
