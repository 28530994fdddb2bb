"""Shared by everything else: errors, files, names, the console, provenance. Nothing here trains."""
