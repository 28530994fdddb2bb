"""The base class of all methods; AEVB; full VB; Adagrad; compiled steps and CUDA graphs."""
