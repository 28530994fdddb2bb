"""Figures drawn from stored curves. Nothing here trains."""
