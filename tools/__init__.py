"""Scripts that build and check what the packages ship."""
