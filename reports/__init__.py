"""The outside of riskcal: command line, documents and page; it wires adapters to the stages of `risk`."""

from __future__ import annotations

__all__: list[str] = []
