"""Load generators: what runs on the other core. A generator reports its own CPU time, so that nobody has
to believe that it was not the bottleneck."""
