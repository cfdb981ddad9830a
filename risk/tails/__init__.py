"""Tails beyond the sample: extreme value theory."""
