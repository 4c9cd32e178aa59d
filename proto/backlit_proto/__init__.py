"""The contract between client and server: generated messages, tensors, errors."""
