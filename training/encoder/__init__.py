"""Training of ``builtin-clip``, the small dual encoder that ships with Sightline.

It learns from the drawn world (``sightline.training.world``) alone, with open_clip's own
contrastive loss, and ends as a folder that open_clip loads like any production checkpoint. One
command does it all: ``python -m sightline.training.encoder`` (see ``--help``).
"""
