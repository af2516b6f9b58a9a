"""What operators watch: health, metrics, request ids and the end of the server."""
