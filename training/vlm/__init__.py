"""The built-in tiny LLaVA: how it is asked, trained, measured and exported.

``prompt`` and ``frame`` need neither torch nor transformers, so that a client can use them alone.
"""
