"""Optical character recognition. Empty: importing it must stay cheap."""
