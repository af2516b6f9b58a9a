"""Commands that start servers: serve and vlm."""
