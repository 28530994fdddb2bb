"""Stacked networks: plain torch modules that know no Lightning, no Hydra and no disk.

Every parameter carries a leading `seed` axis: several models of the same shape, one for each
seed, are one tensor program. A single model is a stack of one.
"""
