"""Parts of the benchmarks of search quality: a server, queries and their outcomes."""
