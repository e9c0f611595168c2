"""Watches Meta access tokens and tells their owners in time."""

__version__ = "0.1.0"
