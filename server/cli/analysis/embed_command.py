"""``sightline embed``: vectors of words, as literals for SQL."""

from __future__ import annotations

import argparse
import sys

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.config import load_settings
from sightline.server.observability.terminal import write_json, write_lines
from sightline.storage.errors import ConfigurationError


def configure_embed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="WORDS", help="text to encode (default: each line of stdin)"
    )
    parser.add_argument(
        "--collection", metavar="NAME", help="check that the vectors fit this collection"
    )
    parser.add_argument(
        "--level",
        choices=("asset", "passage"),
        default="asset",
        help="compare with pictures (asset, the default), or with texts (passage)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print words, embedding space and vector as JSON"
    )


async def run_embed(arguments: argparse.Namespace) -> None:
    """Print one literal of type halfvec per text, and the embedding space on stderr."""
    from sightline.storage.analytics.query_vectors import (
        encode_queries,
        query_encoder,
        vector_literal,
    )

    texts = arguments.words or [line.rstrip("\r\n") for line in sys.stdin]
    if not any(texts):
        raise ConfigurationError(
            "There are no words to encode. Give them as arguments or on stdin."
        )
    async with open_dependencies(load_settings()) as deps:
        encoder = await query_encoder(deps, arguments.level)
        async with deps.connection() as connection:
            encoded = await encode_queries(
                connection, encoder, texts, level=arguments.level, collection=arguments.collection
            )
    literals = [vector_literal(each) for each in encoded.vectors]
    if arguments.json:
        write_json(
            [
                {"words": text, "embedding_space": encoded.space.id, "vector": each.tolist()}
                for text, each in zip(texts, encoded.vectors, strict=True)
            ]
        )
        return
    write_lines(
        f"Embedding space {encoded.space.id}: {encoded.space.identity.name}, "
        f"{encoded.space.level} level",
        error=True,
    )
    write_lines(*literals)
