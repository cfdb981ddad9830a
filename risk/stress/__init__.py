"""What crashes do to a book: paths, liquidations, bad debt."""

from __future__ import annotations
