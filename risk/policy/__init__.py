"""Policy: what the models say, turned into parameters under a declared appetite."""
