"""The base class of all methods; AEVB; Adagrad; compiled steps and CUDA graphs."""
