"""Variants of the same cells, side by side."""
