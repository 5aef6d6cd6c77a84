"""Dump tasks: plans, deliveries, formats, destinations. Still empty."""
