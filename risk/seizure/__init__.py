"""How each protocol seizes collateral: a module each, and the list of them in `by_protocol`.

Policy chooses a penalty with it and stress liquidates by it, so it lies below both.
"""

from __future__ import annotations
