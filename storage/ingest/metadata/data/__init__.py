"""Tables of places, and the program that makes them."""
