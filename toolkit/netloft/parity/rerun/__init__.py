"""The same file run otherwise: under other settings, and by other implementations."""
