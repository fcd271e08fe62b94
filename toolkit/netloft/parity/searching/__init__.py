"""A bounded search for the input on which a file is furthest from its module."""
