"""The command line: one module a verb, each imported only when its verb runs."""

from __future__ import annotations
