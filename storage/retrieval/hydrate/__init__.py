"""Load what hits show, by id, and describe hits in plain values."""
