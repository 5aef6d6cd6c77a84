"""The systems under load: Penstock, and each peer with the load generator that suits it best."""
