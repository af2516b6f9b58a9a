"""What runs in the worker processes: opens, checks and decodes files that nobody vouches for.

Nothing here may import torch, LlamaIndex or the database: a worker starts in a fraction of a
second and is killed without regret.
"""
