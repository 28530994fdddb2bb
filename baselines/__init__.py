"""The methods the paper compares AEVB with. They import `reproduce`, never the reverse."""
