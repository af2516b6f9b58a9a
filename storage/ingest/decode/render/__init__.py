"""What a caller sees of an image: cut, reduced, with boxes, as JPEG. Runs in worker processes."""
