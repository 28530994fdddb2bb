"""The base class of all methods, AEVB, Adagrad and what makes their steps fast."""
