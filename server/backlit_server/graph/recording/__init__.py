"""Writing graphs: nodes appended one by one, tensors that behave like arrays."""
