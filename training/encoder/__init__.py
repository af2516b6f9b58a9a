"""Training of ``builtin-clip``, the small dual encoder that ships with Sightline.

The data is the synthetic world (``sightline.training.world``), the loss is open_clip's contrastive
loss, and the result is a folder that open_clip loads like any checkpoint. One command runs all
stages: ``python -m sightline.training.encoder`` (see ``--help``).
"""
