"""Decode PDF documents: pages, their text and how it is read."""
