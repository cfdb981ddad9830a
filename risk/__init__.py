"""The mathematics of riskcal: pure stages from a market snapshot to a recommendation and its stress."""

from __future__ import annotations

__all__: list[str] = []
