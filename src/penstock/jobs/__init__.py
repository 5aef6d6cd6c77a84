"""What happens by the clock. Knows no HTTP."""
