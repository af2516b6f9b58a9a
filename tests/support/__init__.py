"""Shipped helpers of the tests: real implementations of Sightline's interfaces, no doubles."""
