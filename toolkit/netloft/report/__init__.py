"""Results for people: tables on a terminal or in a pipe."""
