"""Give a collection vectors of another encoder while searches continue."""
