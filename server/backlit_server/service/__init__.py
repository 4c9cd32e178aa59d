"""The gRPC front door: decode, ask, encode."""
