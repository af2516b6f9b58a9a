"""The drawn world, and the training of the models that ship with Sightline."""
