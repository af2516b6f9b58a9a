"""Code that several tools share. Empty, to keep imports light."""
