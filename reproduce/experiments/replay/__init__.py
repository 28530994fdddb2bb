"""Replay of the published runs: their first values from the author's random numbers.

`make replay` draws what the published runs drew from NumPy's legacy generator and puts the first
values of the curves beside those in the paper's figures. docs/replay.md explains the evidence.
"""
