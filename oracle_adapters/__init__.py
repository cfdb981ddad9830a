"""Adapters that turn price feeds and on-chain state into the immutable inputs of `risk`."""

from __future__ import annotations

__all__: list[str] = []
