"""A reproduction of Auto-Encoding Variational Bayes (Kingma & Welling, 2013)."""
