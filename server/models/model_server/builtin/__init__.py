"""A small OpenAI-compatible server for one LLaVA folder: ``sightline vlm builtin``.

``messages`` reads requests, ``images`` their pictures, ``guide`` holds output to a schema,
``engine`` generates, ``app`` speaks HTTP. Made for the built-in model; any Hugging Face LLaVA
folder works.
"""
