"""Quantised and fused operators, written in standard ones."""
