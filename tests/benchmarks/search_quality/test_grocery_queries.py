"""Queries for products with a description."""

from __future__ import annotations

from benchmarks.search_quality.grocery_queries import Product, grocery_queries

PRODUCTS = (
    Product("a.jpg", "Red-Lantern", "A lantern of paper. Made of oiled bamboo."),
    Product("shelf-1.jpg", "Red-Lantern"),
    Product("b.jpg", "Cherry", "Sweet, from a tree behind the lantern shop."),
)
QUERIES = {
    group: {
        query.text: query.relevant for query in grocery_queries(PRODUCTS) if query.group == group
    }
    for group in {query.group for query in grocery_queries(PRODUCTS)}
}


def test_a_product_means_all_of_its_pictures() -> None:
    assert QUERIES["exact"] == {"Red Lantern": {"a", "shelf-1"}, "Cherry": {"b"}}
    assert QUERIES["words joined"] == {"RedLantern": {"a", "shelf-1"}}
    assert QUERIES["upper case"].keys() == {"RED LANTERN", "CHERRY"}
    assert QUERIES["plural or singular"].keys() == {"red lanterns", "cherries"}


def test_a_part_of_a_word_means_all_pictures_with_such_a_word() -> None:
    assert QUERIES["first five characters"] == {"lante": {"a", "shelf-1", "b"}, "cherr": {"b"}}
    assert QUERIES["last five characters"] == {"ntern": {"a", "shelf-1", "b"}, "herry": {"b"}}


def test_pictures_without_description_get_no_queries() -> None:
    assert len(QUERIES) == 10
    assert {len(queries) for queries in QUERIES.values()} <= {1, 2}


def test_the_queries_are_always_the_same() -> None:
    assert list(grocery_queries(PRODUCTS)) == list(grocery_queries(PRODUCTS))
