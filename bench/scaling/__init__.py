"""What `bench.scale` is made of: the servers that grow, the loads, the arithmetic and the plots."""
