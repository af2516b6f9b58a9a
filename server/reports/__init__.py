"""HTML reports: map of a collection, demo tour, evaluation report. One file each."""
