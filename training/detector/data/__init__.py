"""Data of the detector: pictures with boxes, and phrases."""
