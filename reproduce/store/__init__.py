"""Cells on disk: identity, curves, checkpoints, trained models."""
