"""Seedings: how a head is made to give what formulas take, from a seed back to the layer."""
