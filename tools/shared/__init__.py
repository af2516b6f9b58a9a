"""Code that several tools share. Empty, because importing a submodule must stay light."""
