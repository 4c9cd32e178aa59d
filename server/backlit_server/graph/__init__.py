"""ONNX in, ONNX out: a model in one spelling, its anatomy, its cut, its gradients, and formulas on top."""

from backlit_server.graph.backward import differentiate as differentiate
from backlit_server.graph.canonical import canonical as canonical
from backlit_server.graph.formula import with_formula as with_formula
