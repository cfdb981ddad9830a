"""What each protocol stores, in which units, and the calls that change it."""
