"""The report: one HTML file with everything a results folder holds."""
