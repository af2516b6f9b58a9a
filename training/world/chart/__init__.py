"""Scene family: charts."""
