"""`reproduce list` and `reproduce show`."""
