"""The main job on real input: 336,776 flights through the official SDK, with the server killed in the middle."""
