"""Read office documents, books and web pages in a worker."""
