"""The console: server-rendered pages. Still empty."""
