"""One process a device, supervised; tensors cross in shared memory."""
