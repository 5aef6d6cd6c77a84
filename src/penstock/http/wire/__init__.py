"""Shapes of bodies: JSON, protobuf, compression. Bytes in, values out; no sockets."""
