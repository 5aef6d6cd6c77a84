"""HTTP in front of the service: connections, routes, bodies, errors. Knows no files and no SQL."""
