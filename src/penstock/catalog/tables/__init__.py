"""Tables by chapter of the API reference: what a row is made of. Knows no database."""
