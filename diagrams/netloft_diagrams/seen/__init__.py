"""What networks saw in pictures: maps over them, tables of several networks, contact sheets."""
