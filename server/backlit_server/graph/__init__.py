"""ONNX in, ONNX out: a model in one spelling, its anatomy, its cut, its gradients, and formulas on top."""

from backlit_server.graph.anatomy import Anatomy as Anatomy
from backlit_server.graph.anatomy import Spec as Spec
from backlit_server.graph.anatomy import examine as examine
from backlit_server.graph.backward import differentiate as differentiate
from backlit_server.graph.canonical import canonical as canonical
from backlit_server.graph.cut import Cut as Cut
from backlit_server.graph.cut import cut as cut
from backlit_server.graph.method import Recipe as Recipe
from backlit_server.graph.method import explained as explained
from backlit_server.graph.method import method_graph as method_graph
from backlit_server.graph.narrow import narrowed as narrowed
from backlit_server.graph.prune import pruned as pruned
from backlit_server.graph.prune import with_outputs as with_outputs
from backlit_server.graph.reading.layers import Layer as Layer
from backlit_server.graph.reading.linear import linear_weights as linear_weights
from backlit_server.graph.reading.scores import Scores as Scores
from backlit_server.graph.recording.formula import with_formula as with_formula
from backlit_server.graph.scale import scaled as scaled
from backlit_server.graph.seeding.named import NARROW as NARROW
from backlit_server.graph.seeding.named import SEEDINGS as SEEDINGS
from backlit_server.graph.seeding.named import taken as taken
from backlit_server.graph.seeding.seeded import Seeded as Seeded
from backlit_server.graph.seeding.seeded import seeded as seeded
from backlit_server.graph.shuffling import shuffled as shuffled
from backlit_server.graph.spelling.annotations import annotate as annotate
from backlit_server.graph.spelling.rewritten import Arithmetic as Arithmetic
