"""Drawing primitives that all scene families share."""
