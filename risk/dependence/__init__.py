"""How assets move together."""

from __future__ import annotations
