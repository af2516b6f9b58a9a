"""How things are found: filters, branches, fusion, examples, and the two searches over them.

`records` and `selection` import nothing heavy; `search` brings LlamaIndex with it.
"""
