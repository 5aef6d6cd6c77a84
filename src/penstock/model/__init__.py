"""Rules as plain functions and tables: no input or output, no event loop; clock and randomness are passed in."""
