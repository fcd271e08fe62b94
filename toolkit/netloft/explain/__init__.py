"""What a network looks at, and what its parts look for, as graphs."""
